"""Several training runs with one display, one after the other or at the same time.

Runs one after the other share their compiled programs if only their seeds differ. Runs
at the same time have a process each. This helps on a GPU, because a small model does
not fill it, and because compilation takes longest there.
"""

import contextlib
import dataclasses
import functools
import logging
import multiprocessing
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

import jax
from rich.console import Console

from damamba_jax.config.rules import may_see_sessions
from damamba_jax.config.sections import Config, DataConfig
from damamba_jax.config.tree import differences, from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.data.corpus.fingerprint import fingerprints
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.oddities import find_oddities
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import TrainingError, WorkdirError
from damamba_jax.evaluation.evaluation import evaluate
from damamba_jax.evaluation.results import read_results
from damamba_jax.files import read_text
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.models.functional import abstract_model
from damamba_jax.reporting.parameter_table import parameter_table
from damamba_jax.reporting.results import draw_results, show_results, write_results
from damamba_jax.reporting.table import show
from damamba_jax.runs import workdir as run_folder
from damamba_jax.runs.bands import write_bands
from damamba_jax.runs.evaluations import Settings, write_record
from damamba_jax.runs.traces import read_traces
from damamba_jax.runtime.command import make_console, mark_log, show_log
from damamba_jax.runtime.ending import USER_ERRORS
from damamba_jax.runtime.programs import keep_programs
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.training.loop import fit

_log = logging.getLogger(__name__)

# JAX takes memory of the GPU when it needs it, not three quarters of it at the start.
_SHARED_DEVICE = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
# A signal is noticed after this many seconds at most.
_POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A configuration and the workdir that it is trained in.

    Args:
      title: name of the run in the display of the progress.
      config: configuration of the run.
      folder: workdir of the run.
    """

    title: str
    config: Config
    folder: Path

    @property
    def steps_done(self) -> int:
        """Number of steps that are already trained."""
        return max(run_folder.last_step(self.folder), 0)

    @property
    def is_finished(self) -> bool:
        """Whether the run is trained to its end and evaluated."""
        return run_folder.is_finished(self.folder, self.config.train.steps)


def train(
    config: Config,
    directory: Path,
    *,
    stop: StopRequest,
    console: Console,
    follow: Callable[..., None] | None = None,
    index: CorpusIndex | None = None,
) -> None:
    """Trains a run to its end and evaluates it; an interrupted run is resumed.

    Args:
      config: configuration of the run.
      directory: workdir of the run.
      stop: watch for signals.
      console: console for progress and tables.
      follow: function that is called with the steps done, all steps and `note`, as
        `ProgressLine` is; it serves a display of several runs.
      index: corpus of `config`, if it is already open.

    Raises:
      Stopped: on a signal, after the state was saved.
      TrainingError: after too many non-finite steps in a row.
      ValueError: for bad configuration or data; the message says what to change.
    """
    first = jax.process_index() == 0
    with run_folder.claim(directory, config, write=first):
        if run_folder.is_finished(directory, config.train.steps):
            console.print(f"{directory}: this run is finished.")
            _show_finished(directory, config, console)
            return
        # The run is not finished, so an evaluation that is there is out of date.
        if first:
            (directory / run_folder.RESULTS_PAGE).unlink(missing_ok=True)
        opened = index is not None
        index = index or open_corpus(config.data)
        if first:
            run_folder.check_corpus(directory, fingerprints(index))
        if index.simulated:
            mark_log("simulated: ")
        # A caller that opened the corpus has already warned of its oddities.
        if first and not opened:
            warn_of_oddities(config.data, index)
        _announce(config, simulated=index.simulated, console=console)
        fit(config, directory, index, stop=stop, console=console, follow=follow)
        if first:
            # `damamba evaluate` may have scored an earlier step during the training.
            (directory / run_folder.RESULTS_PAGE).unlink(missing_ok=True)
            result = evaluate(
                load_checkpoint(directory), index, out=directory, console=console
            )
            draw_results(result, directory)
            unseen = [s.split for s in result.splits if s.kind != "training"]
            write_bands(
                directory, [t for s in unseen for t in read_traces(directory, s)]
            )
            settings = Settings(workdirs=(str(directory),))
            write_record(directory, settings, corpus=index.root, steps=[result.step])
            # With this page the run is finished, so it is written last.
            write_results([result], directory, console=console)
            _tell_end(directory, config, result.step, console)


def _show_finished(directory: Path, config: Config, console: Console) -> None:
    """Shows the results of a finished run, as they were shown at its end."""
    try:
        results = read_results(directory / run_folder.RESULTS)
    except (WorkdirError, OSError):  # the results come from another version
        console.print(read_text(directory / run_folder.RESULTS_PAGE))
        return
    show_results(results, console)
    _tell_end(directory, config, results[0].step, console)


def _tell_end(
    directory: Path, config: Config, step: int | None, console: Console
) -> None:
    """Prints where all results are, and which commands may follow."""
    best = directory / run_folder.BEST
    best = best if best.is_dir() else directory / run_folder.LAST
    named = shlex.quote(str(directory))
    lines = [
        f"workdir: {directory}",
        f"best checkpoint: {best}{'' if step is None else f', step {step}'}",
        f"results: {directory / run_folder.RESULTS_PAGE}",
        f"pictures: {directory / run_folder.PICTURES}",
        "next:",
        f"  damamba evaluate --workdir={named}",
    ]
    if may_see_sessions(config.model, config.data.window):
        lines.append(f"{lines[-1]} --protocol=long")
    console.print("\n".join(lines))


def warn_of_oddities(data: DataConfig, index: CorpusIndex) -> None:
    """Warns in the log of parts of a corpus that are missing, odd or left out.

    Args:
      data: configuration of the data.
      index: the corpus.
    """
    lines = [*index.problems, *index.left_out]
    if not index.simulated:
        lines += find_oddities(index.sessions, data.cache_dir or None)
    for line in lines:
        _log.warning("%s", line)


def _announce(config: Config, *, simulated: bool, console: Console) -> None:
    """Prints the size of the model, and logs the numbers that are not the paper's."""
    mark = "simulated " if simulated else ""
    table = parameter_table(
        abstract_model(config.model, config.data)[1], f"{mark}{config.name}"
    )
    show(table, console)
    numbers = ("data.window", "model.", "optim.", "train.batch_size")
    paper = from_config_dict(noxi.get_config())
    changed = [d for d in differences(paper, config) if d.startswith(numbers)]
    if changed:
        _log.info("deviates from the paper: %s", "; ".join(changed))


def train_all(
    runs: Sequence[Run],
    *,
    title: str,
    jobs: int = 1,
    stop: StopRequest,
    console: Console,
    index: CorpusIndex | None = None,
) -> None:
    """Trains and evaluates every run that is not finished.

    Args:
      runs: the runs; the remaining time is estimated from their steps.
      title: title of the display.
      jobs: number of runs at a time. If it is more than one, each run has a process of
        its own, and all share the device; a simulated corpus must already be drawn.
      stop: watch for signals.
      console: console for the progress.
      index: corpus of all runs, if it is already open and the same for all.

    Raises:
      Stopped: on a signal, after the state of all active runs was saved.
      TrainingError: if a run fails in a process of its own; the other runs are saved.
      ValueError: for bad configuration or data; the message says what to change.
    """
    total = sum(run.config.train.steps for run in runs)
    done = {run.folder: run.steps_done for run in runs}
    todo = []
    for run in runs:
        if run.steps_done:
            # This raises an error if the run began with another configuration, before
            # hours of work on the runs before it.
            with run_folder.claim(run.folder, run.config):
                pass
        if not run.is_finished:
            todo.append(run)
    start = sum(done.values())
    with ProgressLine(title, console, unit="steps", start=start) as progress:

        def follow(run: Run, step: int, steps: int, *, note: str) -> None:
            done[run.folder] = step
            number = list(done).index(run.folder) + 1
            note = note if step < steps else "evaluating"
            title = f"run {number} of {len(runs)}: {run.title}"
            progress(sum(done.values()), total, note=f"{title}, {note}")

        if jobs > 1:
            _side_by_side(todo, jobs, follow, stop)
        else:
            quiet = make_console(quiet=True, force_terminal=False)
            for run in todo:
                stop.check()
                train(
                    run.config, run.folder, stop=stop, console=quiet, index=index,
                    follow=functools.partial(follow, run),
                )  # fmt: skip
        progress(total, total, note=f"{len(runs)} runs")


def _side_by_side(
    runs: Sequence[Run], jobs: int, follow: Callable[..., None], stop: StopRequest
) -> None:
    """Trains runs in up to `jobs` processes, which send their steps through pipes."""
    context = multiprocessing.get_context("spawn")
    waiting, working = list(runs), {}
    with stop.protect(None, patient=True), _environment(_SHARED_DEVICE):
        try:
            while waiting or working:
                while waiting and len(working) < jobs:
                    run = waiting.pop(0)
                    reader, writer = context.Pipe(duplex=False)
                    process = context.Process(
                        target=_train_in_process, args=(run, writer)
                    )
                    process.start()
                    # With this end closed, reading notices when the process has ended.
                    writer.close()
                    working[reader] = run, process
                ready = wait(list(working), timeout=_POLL_SECONDS)
                for reader in [reader for reader in working if reader in ready]:
                    run, process = working[reader]
                    try:
                        step, steps, note = reader.recv()
                    except EOFError:
                        process.join()
                        del working[reader]
                        stop.check()
                        if process.exitcode:
                            raise TrainingError(
                                f"{run.title}, {run.folder}: ended with status "
                                f"{process.exitcode}; its messages are above. The same "
                                f"command resumes it."
                            ) from None
                    else:
                        follow(run, step, steps, note=note)
                stop.check()
        finally:
            # After a signal or a failure, the other processes save their state and end.
            for _, process in working.values():
                process.terminate()
            for _, process in working.values():
                process.join()


def _train_in_process(run: Run, writer: Connection) -> None:
    """Trains one run in a process of `_side_by_side`; the exit status shows the end."""
    show_log(logging.WARNING)
    keep_programs()

    def tell(step: int, steps: int, *, note: str) -> None:
        try:
            writer.send((step, steps, note))
        except BrokenPipeError:
            # The process that started this one has ended: save, and end as well.
            os.kill(os.getpid(), signal.SIGTERM)

    quiet = make_console(quiet=True, force_terminal=False)
    with StopRequest() as stop:
        try:
            train(run.config, run.folder, stop=stop, console=quiet, follow=tell)
        except Stopped:
            sys.exit(stop.exit_status)
        except USER_ERRORS as error:
            sys.exit(f"error: {error}")


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for new processes, unless they are already set."""
    added = {k: v for k, v in variables.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
