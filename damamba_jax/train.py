"""Trains a system; the same command resumes an interrupted run by itself.

    python -m damamba_jax.train --config=configs/noxi.py --config.data.root=DIR

With no `data.root` it trains on the simulated corpus, and says so everywhere. The end
of a run is its evaluation: `results.md`, `results.json` and `pictures/` in the workdir.
"""

import contextlib
import dataclasses
import functools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import config_flags
from rich.console import Console

from damamba_jax import evaluate as evaluation
from damamba_jax import metrics, optim, run_log, splits, train_state, workdir
from damamba_jax.checkpoint import abstract_model, check_shapes, load_checkpoint
from damamba_jax.command_line import USER_ERRORS, mark_log, parse_flags, show_log
from damamba_jax.config import Config, ConfigError, differences, from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.data import windows
from damamba_jax.data.corpora import CorpusIndex, Session
from damamba_jax.data.statistics import fit_statistics, from_arrays
from damamba_jax.meter import Meter
from damamba_jax.models import build_model
from damamba_jax.models.overview import parameter_table
from damamba_jax.progress import ProgressLine
from damamba_jax.saver import Saver
from damamba_jax.stop import Stopped, StopRequest
from damamba_jax.train_state import TrainState

# After a slower step the state is copied to the host: a signal must be obeyed within
# seconds, and the next safe point may be further away than that.
SLOW_STEP_SECONDS = 2.0
# No evaluation takes longer.
EVALUATION_SECONDS = 24 * 3600

# Not `__name__`, which is `__main__` when this is the command.
_log = logging.getLogger("damamba_jax.train")


def train(
    config: Config,
    directory: Path,
    *,
    stop: StopRequest,
    console: Console,
    follow: Callable[..., None] | None = None,
) -> None:
    """Trains to the end and evaluates, from wherever the workdir stands.

    Args:
      config: of the run.
      directory: the workdir.
      stop: watches for signals.
      console: where progress and tables go.
      follow: called as `ProgressLine` is, with (steps done, steps in all, note=...),
        for a display that covers several runs.

    Raises:
      Stopped: on a signal, after the state was saved.
      TrainingError: after too many non-finite steps in a row.
      ValueError: for bad configuration or data; the message says what to change.
    """
    first = jax.process_index() == 0
    with workdir.claim(directory, config, write=first):
        results = directory / "results.md"
        if results.is_file() and workdir.last_step(directory) == config.train.steps:
            console.print(f"{directory}: this run is finished.", highlight=False)
            console.print(results.read_text(), markup=False, highlight=False)
            return
        # An evaluation of an unfinished run is not this run's.
        if first:
            results.unlink(missing_ok=True)
        index = evaluation.open_corpus(config.data)
        if index.simulated:
            mark_log("simulated: ")
        for problem in index.problems:
            _log.warning("%s", problem)
        _fit(config, directory, index, stop=stop, console=console, follow=follow)
        if first:
            result = evaluation.evaluate(
                load_checkpoint(directory), index, out=directory, console=console
            )
            evaluation.publish([result], directory, console=console)


def _fit(
    config: Config,
    directory: Path,
    index: CorpusIndex,
    *,
    stop: StopRequest,
    console: Console,
    follow: Callable[..., None] | None,
) -> None:
    """The loop: restore, then step, log, save and validate until all steps are done."""
    sharded, replicated = _shardings(config.train.batch_size)
    sessions = splits.training_sessions(index, config.data)
    statistics, params = _initialize(
        config, sessions, console, simulated=index.simulated
    )
    optimizer = optim.optimizer(config.optim, config.train.steps)
    mark = "simulated " if index.simulated else ""
    console.print(parameter_table(params, f"{mark}{config.name}"))
    _log_deviations(config)
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
    validate = _make_validation(config, index, compiled.predict, sharded)

    total = config.train.steps
    meter = Meter(log, config.train, start=start)
    best = max(log.values("val_ccc"), default=-np.inf)
    title = f"{mark}{config.name}"
    with (
        contextlib.closing(log),
        contextlib.closing(saver),
        ProgressLine(title, console, unit="steps", start=start) as progress,
        # One process of several cannot save: signals end it, checkpoints resume it.
        stop.protect(saver.save_published if jax.process_count() == 1 else None),
    ):
        tell = _both(progress, follow)
        tell(start, total, note="compiling")
        try:
            for step in range(start, total + 1):
                if _validation_due(step, config) and not log.has(step, "val_ccc"):
                    meter.flush()
                    saver.publish(state)
                    scores = validate(state, statistics, stop)
                    if scores["val_ccc"] > best:
                        best = scores["val_ccc"]
                        saver.save_best(state, best)
                    log.metrics(step, scores)
                    meter.pause(val_ccc=scores["val_ccc"])
                if step == total:
                    break
                batch = _place(next(batches), sharded)
                state, scalars = compiled.train_step(state, batch, statistics)
                meter.add(step + 1, scalars)
                if step == start or meter.seconds_per_step > SLOW_STEP_SECONDS:
                    meter.flush()
                    saver.publish(state)
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
    _, replicated = _shardings(config.train.batch_size)
    optimizer = optim.optimizer(config.optim, config.train.steps)
    graphdef, _ = abstract_model(config)
    return _Compiled(
        train_state.jit_train_step(config, graphdef, optimizer),
        train_state.make_predict(graphdef, replicated),
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


def _initialize(
    config: Config, sessions: Sequence[Session], console: Console, *, simulated: bool
):
    """Statistics and parameters before the first step."""
    if config.init_from:
        origin = load_checkpoint(config.init_from)
        if origin.simulated != simulated:
            _log.warning(
                "%s was trained on %s data, this run is not.",
                config.init_from, "simulated" if origin.simulated else "recorded",
            )  # fmt: skip
        if origin.config.data.normalization != config.data.normalization:
            raise ConfigError(
                f"`data.normalization`: {config.init_from} was trained on features "
                f"normalised by {origin.config.data.normalization!r}, this run has "
                f"{config.data.normalization!r}."
            )
        _, wanted = abstract_model(config)
        check_shapes(
            {"model": origin.params}, {"model": wanted}, source=config.init_from
        )
        if origin.config.data.features != config.data.features:
            raise ConfigError(
                f"`init_from`: {config.init_from} was trained on the features "
                f"{_names(origin.config)}, in this order and with these settings; this "
                f"run has {_names(config)}."
            )
        # The parameters expect features as they were standardised in their training.
        return dict(origin.statistics), origin.params
    title = f"{'simulated ' * simulated}feature statistics"
    with ProgressLine(title, console, unit="streams") as progress:
        statistics = fit_statistics(
            sessions,
            config.data.features,
            cache_dir=config.data.cache_dir,
            progress=lambda report: progress(report.done, report.total),
        )
    return statistics, train_state.split_model(build_model(config))[1]


def _names(config: Config) -> str:
    return ", ".join(feature.name for feature in config.data.features)


def _log_deviations(config: Config) -> None:
    """Says in which numbers a configuration is not the paper's."""
    numbers = ("data.window", "model.", "optim.", "train.batch_size")
    paper = from_config_dict(noxi.get_config())
    changed = [d for d in differences(paper, config) if d.startswith(numbers)]
    if changed:
        _log.info("deviates from the paper: %s", "; ".join(changed))


def _shardings(batch_size: int) -> tuple[NamedSharding, NamedSharding]:
    """Batches are spread over all devices, the state is on each of them."""
    devices = jax.device_count()
    if batch_size % devices:
        raise ConfigError(
            f"`train.batch_size`: expected a multiple of the {devices} devices, got "
            f"{batch_size}."
        )
    mesh = jax.make_mesh(
        (devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
    )
    return NamedSharding(mesh, PartitionSpec("data")), NamedSharding(
        mesh, PartitionSpec()
    )


def _place(batch, sharding: NamedSharding):
    """Puts this process's share of a batch onto its devices."""
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x), batch
    )


def _validation_due(step: int, config: Config) -> bool:
    return step > 0 and (
        step % config.train.eval_every == 0 or step == config.train.steps
    )


def _make_validation(
    config: Config,
    index: CorpusIndex,
    predict: Callable,
    sharded: NamedSharding,
) -> Callable[[TrainState, Any, StopRequest], dict[str, float]]:
    """Returns `validate(state, statistics, stop)`: scores of the averaged parameters.

    The official pooled metric, over at most `train.eval_batches` batches of windows
    spread over the validation split.
    """
    sessions = splits.validation_sessions(index, config.data)
    source = windows.EvaluationSource(
        sessions,
        config.data,
        batch_size=config.train.batch_size,
        max_batches=config.train.eval_batches,
    )
    num_frames = config.data.window.window_frames

    def spread(x):
        # Every process reads the whole batch and hands over its devices' rows.
        return jax.make_array_from_callback(x.shape, sharded, lambda rows: x[rows])

    def validate(state, statistics, stop):
        labels, scores = [], []
        for batch, rows in windows.read_batches(
            source, num_threads=config.data.num_threads
        ):
            stop.check()
            score = predict(
                state.average,
                jax.tree.map(spread, batch),
                statistics,
                num_frames=num_frames,
            )
            scored = (rows.label_index >= 0) & batch["label_valid"]
            labels.append(batch["label"][scored])
            scores.append(np.asarray(score)[scored])
        label, score = np.concatenate(labels), np.concatenate(scores)
        label, score = label.astype(np.float64), score.astype(np.float64)
        return {
            "val_ccc": float(metrics.ccc(label, score)),
            "val_mse": float(np.mean((label - score) ** 2)),
        }

    return validate


def _join_processes() -> None:
    """Connects to the other processes of the run, if there are any."""
    if _COORDINATOR.value:
        # JAX's own handler would take SIGTERM from `StopRequest`, and ignore it.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            _COORDINATOR.value,
            num_processes=_NUM_PROCESSES.value,
            process_id=_PROCESS_ID.value,
            # JAX would listen on every interface.
            coordinator_bind_address=_COORDINATOR.value,
            # The others wait at their end while the first one evaluates.
            shutdown_timeout_seconds=EVALUATION_SECONDS,
        )


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    del argv
    show_log()
    with StopRequest() as stop:
        try:
            _join_processes()
            # The first process speaks for all.
            console = Console(quiet=jax.process_index() > 0)
            config = from_config_dict(_CONFIG.value)
            directory = Path(_WORKDIR.value or Path("runs") / config.name)
            train(config, directory, stop=stop, console=console)
        except Stopped as signal:
            console.print(f"{signal}: stopped; the same command resumes.")
            sys.exit(stop.exit_status)
        except USER_ERRORS as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    _CONFIG = config_flags.DEFINE_config_file(
        "config", None, "Configuration, e.g. configs/noxi.py or configs/noxi.py:demo."
    )
    _WORKDIR = flags.DEFINE_string(
        "workdir", "", "Folder of the run; default runs/NAME of the configuration."
    )
    _COORDINATOR = flags.DEFINE_string(
        "coordinator",
        "",
        "HOST:PORT at which the first of several processes listens; all of them run "
        "the same command, with a workdir that they share. A signal ends such a run "
        "at once, and the same command resumes it from its last checkpoint.",
    )
    _NUM_PROCESSES = flags.DEFINE_integer(
        "num_processes", 1, "Processes of the run.", lower_bound=1
    )
    _PROCESS_ID = flags.DEFINE_integer(
        "process_id", 0, "This process, from 0 on.", lower_bound=0
    )
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
