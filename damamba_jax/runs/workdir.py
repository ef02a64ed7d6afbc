"""Folder of one run: its files, its owner, and the configuration it is bound to.

The constants below name every file of a run. An evaluation in a folder of its own has
results, pictures, traces and predictions under the same names.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import differences, from_json, to_json
from damamba_jax.errors import CheckpointError, ConfigError, WorkdirError
from damamba_jax.files import read_text, write_text

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
      WorkdirError: if another process holds it, or it was made with a configuration
        that differs in a field that changes the numbers.
    """
    path = workdir / CONFIG
    if not write:
        _check_config(path, config)
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkdirError(
                f"{workdir}: another process is training here. Wait for it, or choose "
                f"another folder: --workdir=NEW."
            ) from error
        _check_config(path, config)
        write_text(path, to_json(config))
        yield


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
