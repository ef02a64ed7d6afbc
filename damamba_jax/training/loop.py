"""The training loop: it restores a run, and steps, logs, saves and validates."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.data.batches import windows
from damamba_jax.data.corpus import splits
from damamba_jax.data.corpus.sessions import CorpusIndex, Session
from damamba_jax.runs.run_log import RunLog
from damamba_jax.runtime import mesh
from damamba_jax.runtime.programs import Shapes
from damamba_jax.runtime.progress import ProgressLine, clock_text
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.schema.statistics import from_arrays
from damamba_jax.training import optim, state, step
from damamba_jax.training.meter import Meter
from damamba_jax.training.saver import Saver
from damamba_jax.training.start import Start, initialize
from damamba_jax.training.state import TrainState
from damamba_jax.training.validation import Validation, validation_score

_log = logging.getLogger(__name__)

# After a step that is slower than this, the state is copied to the host. A signal must
# be obeyed within seconds, and the next step may end too late to save the state.
SLOW_STEP_SECONDS = 2.0

# The duration of a run is estimated after this many steps or this many seconds.
MEASURED_STEPS, MEASURED_SECONDS = 10, 5.0

# A function that is called with (steps done, steps in all, note=...).
Tell = Callable[..., None]


def fit(
    config: Config,
    directory: Path,
    index: CorpusIndex,
    *,
    stop: StopRequest,
    console: Console,
    follow: Tell | None = None,
) -> None:
    """Trains to the last step, starting from the newest checkpoint of the workdir.

    Args:
      config: the run's configuration.
      directory: the run's workdir.
      index: the corpus.
      stop: the object that watches for signals.
      console: the console that shows progress.
      follow: a function that is told of every step, to show several runs.

    Raises:
      Stopped: on a signal, after the state was saved.
      TrainingError: after too many steps in a row that were not finite.
      ValueError: if configuration or data are wrong; the message says what to change.
    """
    sharded, replicated = mesh.shardings(config.train.batch_size)
    # Compilation takes long, so mistakes are looked for before it.
    splits.check_splits(index, config.data)
    sessions = splits.training_sessions(index, config.data)
    source = _source(config, sessions)
    console.print(_plan(config, source.num_windows, simulated=index.simulated))
    begin = functools.partial(
        initialize, config, sessions, console, simulated=index.simulated
    )
    # The parameters of another run may not fit. That too is found before compilation.
    start = begin() if config.init_from else None
    # The programs are compiled in the background, while everything else gets ready.
    batch = Shapes.of(mesh.place(source[0], sharded), sharded)
    train_step = _compile_step(_for_programs(config), batch, replicated)
    validation = _make_validation(config, index, sharded)
    start = start or begin()
    saver = Saver(
        directory, keep=config.train.keep_checkpoints, statistics=start.statistics,
        simulated=index.simulated,
    )  # fmt: skip
    current, statistics = _restore(config, start, saver, replicated)
    del start

    first, threads = int(current.step), config.data.num_threads
    batches = windows.read_batches(source, num_threads=threads, start_step=first)
    log = RunLog(
        directory, step=first, simulated=index.simulated,
        tensorboard=config.train.tensorboard, write=jax.process_index() == 0,
    )  # fmt: skip
    with _open_loop(config, saver, log, stop, first, console, follow) as loop:
        loop.run(
            current,
            lambda s: train_step(s, mesh.place(next(batches), sharded), statistics),
            validation and (lambda s: validation.score(s.average, statistics, stop)),
        )


@contextlib.contextmanager
def _open_loop(
    config: Config,
    saver: Saver,
    log: RunLog,
    stop: StopRequest,
    first: int,
    console: Console,
    follow: Tell | None,
) -> Iterator["_Loop"]:
    """Makes the loop, which shows progress and protects the state from signals.

    At the end it closes the log and the checkpoints.
    """
    title = f"{'simulated ' * log.simulated}{config.name}"
    with (
        contextlib.closing(log),
        contextlib.closing(saver),
        ProgressLine(title, console, unit="steps", start=first) as progress,
        # One process of several cannot save by itself. A signal ends it, and the run
        # resumes from the last checkpoint.
        stop.protect(saver.save_held if jax.process_count() == 1 else None),
    ):
        yield _Loop(config, saver, log, stop, progress, _both(progress, follow))


def _for_programs(config: Config) -> Config:
    """Leaves out everything that no compiled program depends on."""
    data = config.data.for_programs()
    return dataclasses.replace(config, name="", seed=0, data=data)


def _make_validation(
    config: Config, index: CorpusIndex, sharding: jax.sharding.NamedSharding
) -> Validation | None:
    """Makes the validation, or returns `None` without validation sessions."""
    if not splits.validation_sessions(index, config.data):
        return None
    return Validation(
        config.model, config.data, config.train, index=index, sharding=sharding
    )


def _plan(config: Config, num_windows: int, *, simulated: bool) -> str:
    """Says in one line what a run computes and on which devices."""
    devices = jax.devices()
    kinds = ", ".join(sorted({device.device_kind for device in devices}))
    batch, steps = config.train.batch_size, config.train.steps
    processes = jax.process_count()
    return (
        f"{'simulated ' * simulated}{config.name}: {len(devices)} x {kinds}"
        f"{f' in {processes} processes' * (processes > 1)}, "
        f"{config.model.compute_dtype}, {batch} windows a batch, {steps:,} steps: "
        f"{steps * batch / num_windows:.1f} passes over {num_windows:,} windows"
    )


def describe_duration(measured: int, left: int, seconds_per_step: float) -> str:
    """Says how long the steps that are left will take.

    Args:
      measured: the number of steps that were measured.
      left: the number of steps that are left.
      seconds_per_step: the measured time of one step.

    Returns:
      A line for the console; it is empty while too few steps were measured.
    """
    is_known = measured >= MEASURED_STEPS or (
        measured * seconds_per_step >= MEASURED_SECONDS
    )
    if not is_known or not seconds_per_step:
        return ""
    return (
        f"expected: {clock_text(left * seconds_per_step)} for {left:,} more steps at "
        f"{1 / seconds_per_step:.2f} a second, plus the time of validation and "
        "evaluation"
    )


def _restore(
    config: Config, start: Start, saver: Saver, replicated: jax.sharding.NamedSharding
) -> tuple[TrainState, Any]:
    """Returns the newest saved state and its statistics.

    Without a saved state, they are those before the first step.
    """
    optimizer = optim.optimizer(config.optim, config.train.steps)
    fresh = state.create(jax.device_get(start.params), optimizer, config.seed)
    restored, statistics = saver.restore(jax.device_put(fresh, replicated))
    if statistics is None:
        return restored, start.statistics
    _log.info("resuming at step %d.", restored.step)
    return restored, from_arrays(jax.device_get(statistics), config.data.features)


def _source(config: Config, sessions: Sequence[Session]) -> windows.TrainingSource:
    """Makes this process's share of the batches of all steps."""
    return windows.TrainingSource(
        sessions,
        config.data,
        max_participants=config.model.max_participants,
        batch_size=config.train.batch_size,
        seed=config.seed,
        num_steps=config.train.steps,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


@functools.lru_cache(maxsize=1)
def _compile_step(
    config: Config, batch: Shapes, replicated: jax.sharding.NamedSharding
) -> step.Step:
    """Compiles the training step, or returns the one of the last call.

    Runs that follow each other in one process and differ only in name and seed share
    one compiled step.
    """
    return step.compile_step(
        config.model,
        config.data,
        config.optim,
        num_steps=config.train.steps,
        batch=batch,
        replicated=replicated,
    )


def _both(progress: Tell, follow: Tell | None) -> Tell:
    """Tells the same to both displays, if there are two."""

    def tell(done: int, total: int, *, note: str) -> None:
        progress(done, total, note=note)
        if follow is not None:
            follow(done, total, note=note)

    return tell


class _Loop:
    """The steps of one run, with everything that happens between them."""

    def __init__(
        self,
        config: Config,
        saver: Saver,
        log: RunLog,
        stop: StopRequest,
        progress: ProgressLine,
        tell: Tell,
    ) -> None:
        self.config, self.train = config, config.train
        self.saver, self.log, self.stop = saver, log, stop
        self.progress, self.tell = progress, tell
        self.expected, self.began = False, 0
        self.choice = validation_score(config.data)
        self.best = max(log.values(self.choice), default=-np.inf)

    def run(
        self,
        current: TrainState,
        take_step: Callable[[TrainState], tuple[TrainState, Any]],
        validate: Callable[[TrainState], dict[str, float]] | None,
    ) -> None:
        """Takes all steps that are left, and saves the state if it is stopped.

        Args:
          current: the state to begin with.
          take_step: the function that takes one step.
          validate: the function that scores a state; `None` means no validation.

        Raises:
          Stopped: on a signal, after the state was saved.
        """
        first, total = int(current.step), self.train.steps
        self.meter = Meter(self.log, self.train, start=first, choice=self.choice)
        self.tell(first, total, note="compiling")
        try:
            for number in range(first, total + 1):
                if validate is not None and self._validation_due(number):
                    self._validate(current, validate)
                if number == total:
                    break
                current, scalars = take_step(current)
                self.meter.add(number + 1, scalars)
                self._after_step(current, number, is_first=number == first)
                self.stop.check()
                if self.stop.take_warning():
                    self._save_early(current)
        except Stopped:
            self.meter.flush()
            self.saver.save(current)
            _log.info("saved step %d.", current.step)
            raise

    def _save_early(self, current: TrainState) -> None:
        """Saves between two steps, unless this step is on disk. The run goes on."""
        self.meter.flush()
        self.saver.hold(current)
        self.saver.save_held()
        _log.info("saved step %d; going on.", current.step)
        self.meter.pause()

    def _tell_duration(self, done: int) -> None:
        """Says how long the run will take, once some steps were measured."""
        line = describe_duration(
            done - self.began, self.train.steps - done, self.meter.seconds_per_step
        )
        if line:
            self.expected = True
            self.progress.say(line)

    def _validation_due(self, number: int) -> bool:
        due = number % self.train.eval_every == 0 or number == self.train.steps
        return number > 0 and due and not self.log.has(number, self.choice)

    def _validate(
        self,
        current: TrainState,
        validate: Callable[[TrainState], dict[str, float]],
    ) -> None:
        self.meter.flush()
        self.saver.hold(current)
        scores = validate(current)
        score = scores[self.choice]
        if score > self.best:
            self.best = score
            self.saver.save_best(current, {self.choice: score})
        self.log.metrics(int(current.step), scores)
        self.meter.pause(score)

    def _after_step(self, current: TrainState, number: int, *, is_first: bool) -> None:
        """Copies the state to the host, shows progress and saves, if they are due."""
        done, total = number + 1, self.train.steps
        if is_first or self.meter.seconds_per_step > SLOW_STEP_SECONDS:
            self.meter.flush()
            self.saver.hold(current)
        if is_first:
            self.progress.restart(done)
            self.began = done
        elif not self.expected:
            self._tell_duration(done)
        self.tell(done, total, note=self.meter.text)
        if done % self.train.save_every == 0 or done == total:
            self.meter.flush()
            self.saver.save(current)
            self.meter.pause()
