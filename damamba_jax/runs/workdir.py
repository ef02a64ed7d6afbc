"""Folder of one run: its files, its owner, and the configuration it is bound to.

The constants below name every file of a run. An evaluation in a folder of its own has
results, pictures, traces and predictions under the same names.
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
# All that a run needs to go on, and the best averaged parameters.
LAST = "checkpoints/last"
BEST = "checkpoints/best"
# Damaged checkpoints are moved here, within the folder of the others.
QUARANTINE = "quarantine"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
TENSORBOARD = "tensorboard"
# The results for programs and for readers.
RESULTS = "results.json"
RESULTS_PAGE = "results.md"
PICTURES = "pictures"
TRACES = "traces"
PREDICTIONS = "predictions"
# How far scores are from annotations of people who were not trained on.
BANDS = "bands.json"
# Which runs of a cross-validation are the model to use.
MEMBERS = "members.json"
# What the run was trained on: a fingerprint of every session.
CORPUS = "corpus.json"
# Evaluations with other settings than the run's own, and the record of each.
EVALUATIONS = "evaluations"
RECORD = "evaluation.json"

# A resolved configuration has a few KiB.
MAX_CONFIG_BYTES = 1 << 20


def read_config(workdir: Path) -> Config:
    """Reads a run's configuration, which may come from anybody.

    Raises:
      CheckpointError: if it is no configuration.
    """
    path = workdir / CONFIG
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


# Fields that change where, how fast or how verbosely a run computes, but no number.
NEUTRAL = (
    "data.cache_dir",
    # The corpus is compared by what it holds.
    "data.labels_root",
    "data.root",
    # Read before the first step alone.
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
      workdir: the run's folder.
      config: the run's configuration.
      write: False in all but the first process of a run, which then neither lock nor
        write.

    Raises:
      WorkdirError: if its path has characters that make its checkpoints unreadable,
        another process holds it, or it was made with a configuration
        that differs in a field that changes the numbers.
    """
    path = workdir / CONFIG
    if not write:
        _check_config(path, config)
        yield
        return
    _check_name(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    # Another use of the same folder in this process must be refused as well.
    lock = filelock.FileLock(workdir / LOCK, blocking=False, is_singleton=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise WorkdirError(
            f"{workdir}: another process is training here. Wait for it, or choose "
            f"another folder: --workdir=NEW."
        ) from error
    with lock:
        _check_config(path, config)
        write_text(path, to_json(config))
        yield


def _check_name(workdir: Path) -> None:
    """Refuses a folder whose checkpoints Orbax would write and never find again."""
    path = workdir.resolve()
    if glob.has_magic(str(path)):
        raise WorkdirError(
            f"`--workdir`: expected a path without *, ? and [, in which checkpoints "
            f"cannot be read back, got {path}. Choose another folder: --workdir=NEW."
        )


def check_corpus(workdir: Path, sessions: Mapping[str, str]) -> None:
    """Checks that a run goes on with the corpus that it began with, wherever it lies.

    Args:
      workdir: the run's folder, which holds the corpus from the first call on.
      sessions: a fingerprint of every session, by its name.

    Raises:
      WorkdirError: if sessions are other ones, naming the first.
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
    """Step of the newest checkpoint to resume from; -1 before the first."""
    steps = (path.name for path in (workdir / LAST).glob("[0-9]*"))
    return max((int(step) for step in steps if step.isdigit()), default=-1)


def _check_config(path: Path, config: Config) -> None:
    # Before the first checkpoint there is nothing that another configuration made.
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
