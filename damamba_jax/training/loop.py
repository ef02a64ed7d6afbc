"""Training loop: restore, then step, log, save and validate to the end."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.data.batches import windows
from damamba_jax.data.corpus import splits
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.inference import estimator
from damamba_jax.models.functional import abstract_model
from damamba_jax.runs import run_log
from damamba_jax.runtime.mesh import place, shardings
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.schema.statistics import from_arrays
from damamba_jax.training import optim
from damamba_jax.training import state as train_state
from damamba_jax.training import step as train_step
from damamba_jax.training.meter import Meter
from damamba_jax.training.saver import Saver
from damamba_jax.training.start import initialize
from damamba_jax.training.validation import make_validation, validation_due

_log = logging.getLogger(__name__)

# After a slower step the state is copied to the host: a signal must be obeyed within
# seconds, and the next safe point may be further away than that.
SLOW_STEP_SECONDS = 2.0


def fit(
    config: Config,
    directory: Path,
    index: CorpusIndex,
    *,
    stop: StopRequest,
    console: Console,
    follow: Callable[..., None] | None,
) -> None:
    """The loop: restore, then step, log, save and validate until all steps are done."""
    sharded, replicated = shardings(config.train.batch_size)
    sessions = splits.training_sessions(index, config.data)
    statistics, params = initialize(
        config, sessions, console, simulated=index.simulated
    )
    optimizer = optim.optimizer(config.optim, config.train.steps)
    mark = "simulated " if index.simulated else ""
    state = train_state.create(params, optimizer, config.seed)
    del params
    state = jax.device_put(state, replicated)

    saver = Saver(
        directory,
        statistics=statistics,
        simulated=index.simulated,
        keep=config.train.keep_checkpoints,
    )
    state, restored_statistics = saver.restore(state)
    if restored_statistics is not None:
        statistics = from_arrays(
            jax.device_get(restored_statistics), config.data.features
        )
        _log.info("resuming at step %d.", state.step)
    start = int(state.step)
    log = run_log.RunLog(
        directory,
        step=start,
        simulated=index.simulated,
        tensorboard=config.train.tensorboard,
        write=jax.process_index() == 0,
    )
    source = windows.TrainingSource(
        sessions,
        config.data,
        max_participants=config.model.max_participants,
        batch_size=config.train.batch_size,
        seed=config.seed,
        num_steps=config.train.steps,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    batches = windows.read_batches(
        source, num_threads=config.data.num_threads, start_step=start
    )
    compiled = _compile(dataclasses.replace(config, name="", seed=0))
    validate = make_validation(config, index, compiled.predict, sharded)

    total = config.train.steps
    meter = Meter(log, config.train, start=start)
    best = max(log.values("val_ccc"), default=-np.inf)
    title = f"{mark}{config.name}"
    with (
        contextlib.closing(log),
        contextlib.closing(saver),
        ProgressLine(title, console, unit="steps", start=start) as progress,
        # One process of several cannot save: signals end it, checkpoints resume it.
        stop.protect(saver.save_held if jax.process_count() == 1 else None),
    ):
        tell = _both(progress, follow)
        tell(start, total, note="compiling")
        try:
            for step in range(start, total + 1):
                if validation_due(step, config) and not log.has(step, "val_ccc"):
                    meter.flush()
                    saver.hold(state)
                    scores = validate(state, statistics, stop)
                    if scores["val_ccc"] > best:
                        best = scores["val_ccc"]
                        saver.save_best(state, best)
                    log.metrics(step, scores)
                    meter.pause(val_ccc=scores["val_ccc"])
                if step == total:
                    break
                batch = place(next(batches), sharded)
                state, scalars = compiled.train_step(state, batch, statistics)
                meter.add(step + 1, scalars)
                if step == start or meter.seconds_per_step > SLOW_STEP_SECONDS:
                    meter.flush()
                    saver.hold(state)
                if step == start:
                    progress.restart(step + 1)
                tell(step + 1, total, note=meter.text)
                if (step + 1) % config.train.save_every == 0 or step + 1 == total:
                    meter.flush()
                    saver.save(state)
                    meter.pause()
                stop.check()
        except Stopped:
            meter.flush()
            saver.save(state)
            _log.info("saved step %d.", state.step)
            raise


class _Compiled(NamedTuple):
    """The functions of a run that XLA compiles."""

    train_step: Callable
    predict: Callable


@functools.lru_cache(maxsize=1)
def _compile(config: Config) -> _Compiled:
    """Compiles when first called; runs of one process that differ in name and seed
    alone, one after the other, share what was compiled."""
    _, replicated = shardings(config.train.batch_size)
    optimizer = optim.optimizer(config.optim, config.train.steps)
    graphdef, _ = abstract_model(config.model, config.data)
    return _Compiled(
        train_step.jit_train_step(config, graphdef, optimizer),
        estimator.make_predict(graphdef, replicated),
    )


def _both(
    progress: Callable[..., None], follow: Callable[..., None] | None
) -> Callable[..., None]:
    """Tells two displays the same, if there are two."""

    def tell(done: int, total: int, *, note: str) -> None:
        progress(done, total, note=note)
        if follow is not None:
            follow(done, total, note=note)

    return tell
