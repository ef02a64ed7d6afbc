"""The folder of one run: its files, its lock, and the configuration of the run.

The constants below name every file of a run. An evaluation in a folder of its own uses
the same names for results, pictures, traces and predictions.
"""

import contextlib
import glob
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import differences, from_json, to_json
from damamba_jax.errors import CheckpointError, ConfigError, WorkdirError
from damamba_jax.files import read_json, read_text, write_json, write_text

CONFIG = "config.json"
LOCK = "lock"
# Everything that a run needs to go on, and the best averaged parameters.
LAST = "checkpoints/last"
BEST = "checkpoints/best"
# Folder for damaged checkpoints, inside the folder of the others.
QUARANTINE = "quarantine"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
TENSORBOARD = "tensorboard"
# Results for programs and for people.
RESULTS = "results.json"
RESULTS_PAGE = "results.md"
PICTURES = "pictures"
TRACES = "traces"
PREDICTIONS = "predictions"
# Bands around scores, from annotations of people who were not trained on.
BANDS = "bands.json"
# List of those runs of a cross-validation that are the model to use.
MEMBERS = "members.json"
# Fingerprints of all sessions of the corpus that the run was trained on.
CORPUS = "corpus.json"
# Evaluations with other settings than the run's own, and the record of each.
EVALUATIONS = "evaluations"
RECORD = "evaluation.json"

# Limit for the file of a configuration, which normally has a few KiB.
MAX_CONFIG_BYTES = 1 << 20


def read_config(workdir: Path) -> Config:
    """Reads a run's configuration; the file may come from somebody who is not trusted.

    Args:
      workdir: folder of the run.

    Raises:
      CheckpointError: if there is no file, or if it is too large or does not hold a
        configuration.
    """
    path = workdir / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"{workdir}: expected a folder of a training run, got a folder without "
            f"{CONFIG}. Train first: damamba train --config=FILE --workdir={workdir}."
        )
    size = path.stat().st_size
    if size > MAX_CONFIG_BYTES:
        raise CheckpointError(
            f"{path}: expected at most {MAX_CONFIG_BYTES} bytes, got {size}."
        )
    try:
        return from_json(read_text(path))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected a configuration in JSON, got {error}. Restore the file "
            f"from a copy, or train in another folder: --workdir=NEW."
        ) from error


# Fields that change no result: only where, how fast or how verbosely a run computes.
NEUTRAL = (
    "data.cache_dir",
    # The corpus is compared by its contents; see `check_corpus`.
    "data.labels_root",
    "data.root",
    # This is read only before the first step.
    "init_from",
    "data.num_threads",
    "train.keep_checkpoints",
    "train.save_every",
    "train.tensorboard",
)


@contextlib.contextmanager
def claim(workdir: Path, config: Config, *, write: bool = True) -> Iterator[None]:
    """Locks the workdir and stores the resolved configuration in it.

    Args:
      workdir: folder of the run.
      config: configuration of the run.
      write: whether to lock and to write; only the first process of a run does.

    Raises:
      WorkdirError: if the path has characters that make its checkpoints unreadable, if
        another process holds the workdir, or if the workdir holds a run whose
        configuration differs in a field that changes results.
    """
    path = workdir / CONFIG
    if not write:
        _check_config(path, config)
        yield
        return
    _check_name(workdir)
    with hold(workdir, work="training", flag="--workdir"):
        _check_config(path, config)
        write_text(path, to_json(config))
        yield


@contextlib.contextmanager
def hold(folder: Path, *, work: str, flag: str) -> Iterator[None]:
    """Locks a folder, so that only one process at a time works in it.

    The lock ends with the process; its file, which is empty, stays.

    Args:
      folder: folder to lock; it is made if it does not exist.
      work: word for the work, e.g. `"training"`, for the message.
      flag: flag that names the folder, e.g. `"--workdir"`, for the message.

    Raises:
      WorkdirError: if another process holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A second use of the same folder in this process must be refused as well.
    lock = filelock.FileLock(folder / LOCK, blocking=False, is_singleton=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise WorkdirError(
            f"{folder}: another process is {work} here. Wait for it, or choose another "
            f"folder: {flag}=NEW."
        ) from error
    with lock:
        yield


def _check_name(workdir: Path) -> None:
    """Refuses a path in which Orbax would write checkpoints and not find them again."""
    path = workdir.resolve()
    if glob.has_magic(str(path)):
        raise WorkdirError(
            f"`--workdir`: expected a path without *, ? and [, because checkpoints "
            f"below such a path cannot be read back, got {path}. Choose another "
            f"folder: --workdir=NEW."
        )


def check_corpus(workdir: Path, sessions: Mapping[str, str]) -> None:
    """Checks that a run goes on with the corpus that it began with.

    The corpus may have moved to another folder. Before the first checkpoint, the
    fingerprints are only stored in the workdir.

    Args:
      workdir: folder of the run.
      sessions: fingerprint of every session, by the name of the session.

    Raises:
      WorkdirError: if sessions differ or are missing; the message names the first ones.
    """
    path = workdir / CORPUS
    if last_step(workdir) < 0:
        write_json(path, dict(sessions))
        return
    if not path.is_file():  # of a version that did not write it
        return
    before = read_json(path)
    names = {*before, *sessions}
    changed = sorted(n for n in names if before.get(n) != sessions.get(n))
    if changed:
        first = ", ".join(changed[:3])
        raise WorkdirError(
            f"{workdir}: expected the corpus that this run began with, got one in "
            f"which {len(changed)} of {len(names)} sessions differ or are missing: "
            f"{first}. Give that corpus as --config.data.root=DIR; to train on this "
            f"one, choose --workdir=NEW."
        )


def last_step(workdir: Path) -> int:
    """Returns the step of the newest checkpoint; -1 if there is no checkpoint."""
    steps = (path.name for path in (workdir / LAST).glob("[0-9]*"))
    return max((int(step) for step in steps if step.isdigit()), default=-1)


def is_finished(workdir: Path, num_steps: int) -> bool:
    """Says whether a run is trained to its end and evaluated.

    The page of results is the last file that a run writes. A run that goes on deletes
    it before it trains and before it evaluates, because the evaluation behind it may be
    one of an earlier step.

    Args:
      workdir: folder of the run.
      num_steps: number of steps of the whole run.
    """
    written = all((workdir / name).is_file() for name in (RESULTS, RESULTS_PAGE))
    return written and last_step(workdir) >= num_steps


def _check_config(path: Path, config: Config) -> None:
    # Before the first checkpoint, no result depends on the stored configuration.
    if not path.is_file() or last_step(path.parent) < 0:
        return
    changed = [
        line
        for line in differences(read_config(path.parent), config)
        if not line.startswith(NEUTRAL)
    ]
    if changed:
        listed = "\n  ".join(changed)
        raise WorkdirError(
            f"{path.parent}: holds a run of another configuration:\n  {listed}\n"
            f"Start a new run with --workdir=NEW; to continue from the trained "
            f"parameters, add --config.init_from={path.parent}."
        )
