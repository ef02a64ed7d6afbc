"""Folders of evaluations, each bound to the settings that it was made with.

The evaluation at the end of training lies in the workdir itself. Every later one with
other settings gets a folder of its own, `WORKDIR/evaluations/NAME`, and none is ever
written over by another. `evaluation.json` in each folder says what was evaluated, by
which version, where and when.
"""

import dataclasses
import datetime
import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jax

import damamba_jax
from damamba_jax import files
from damamba_jax.errors import WorkdirError
from damamba_jax.runs.workdir import CONFIG, EVALUATIONS, RECORD, RESULTS, TRACES

_PACKAGES = ("jax", "jaxlib", "flax", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that makes two evaluations differ.

    Args:
      workdirs: the runs, the first of which holds the folder.
      root, labels_root: another corpus than the one trained on, and its labels.
      splits: names; none means every split that was not trained on.
      protocol: `"stitched"` or `"long"`.
      smoothing: as on the command line; empty means the configuration's.
      ensemble: whether the mean of the runs' predictions is a row of its own.
    """

    workdirs: tuple[str, ...]
    root: str = ""
    labels_root: str = ""
    splits: tuple[str, ...] = ()
    protocol: Literal["stitched", "long"] = "stitched"
    smoothing: str = ""
    ensemble: bool = False

    @property
    def is_own(self) -> bool:
        """Whether this is the evaluation that a run makes of itself at its end."""
        return self == Settings(workdirs=self.workdirs) and len(self.workdirs) == 1

    def to_tree(self) -> dict[str, Any]:
        """Turns the settings into plain values, with whole paths."""
        tree = dataclasses.asdict(self)
        tree["workdirs"] = [str(Path(w).resolve()) for w in self.workdirs]
        tree["splits"] = list(self.splits)
        for name in ("root", "labels_root"):
            tree[name] = str(Path(tree[name]).resolve()) if tree[name] else ""
        return tree

    def name(self) -> str:
        """Names a folder by what is not as in the run's own evaluation."""
        parts = [*self.splits, *(Path(w).resolve().name for w in self.workdirs[1:])]
        parts += [f"root {Path(self.root).name}"] * bool(self.root)
        parts += [f"labels {Path(self.labels_root).name}"] * bool(self.labels_root)
        parts += [self.protocol] * (self.protocol != "stitched")
        parts += [self.smoothing, "ensemble" * self.ensemble]
        text = "+".join(filter(None, parts)) or "again"
        # Short enough for every file system, whatever the splits are called.
        return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip(".-")[:100]


def choose_folder(settings: Settings, out: str = "") -> Path:
    """Finds the folder of an evaluation, which holds none with other settings.

    Args:
      settings: the settings of the evaluation.
      out: folder asked for; empty means the workdir for the run's own evaluation, and
        a folder of its own in it for every other.

    Raises:
      WorkdirError: if the folder asked for holds another evaluation.
    """
    workdir = Path(settings.workdirs[0])
    if not out and settings.is_own:
        return workdir
    if out:
        folder = Path(out)
        if not _may_hold(folder, settings):
            raise WorkdirError(
                f"`--out`: {folder} holds another evaluation, which is never written "
                f"over. Choose a new folder, or leave `--out` away."
            )
        return folder
    return next(
        folder
        for folder in _candidates(workdir / EVALUATIONS / settings.name())
        if _may_hold(folder, settings)
    )


def write_record(
    folder: Path, settings: Settings, *, corpus: Path, steps: list[int | None]
) -> None:
    """Writes what was evaluated, by which versions, on which device and when.

    Args:
      folder: the evaluation's folder.
      settings: the settings of the evaluation.
      corpus: root of the corpus that was read.
      steps: optimizer steps of the runs' checkpoints.
    """
    files.write_json(
        folder / RECORD,
        {
            "settings": settings.to_tree(),
            "corpus": str(corpus),
            "steps": steps,
            "version": damamba_jax.__version__,
            "commit": _commit(),
            "versions": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in _PACKAGES},
            },
            "device": jax.devices()[0].device_kind,
            "date": datetime.datetime.now().astimezone().isoformat("T", "seconds"),
        },
    )


def _candidates(folder: Path) -> Iterator[Path]:
    yield folder
    number = 2
    while True:
        yield folder.with_name(f"{folder.name}-{number}")
        number += 1


def _may_hold(folder: Path, settings: Settings) -> bool:
    """Whether a folder is free, or holds an evaluation of these very settings."""
    try:
        record = files.read_json(folder / RECORD)
        return record["settings"] == settings.to_tree()
    except FileNotFoundError:
        # A run's folder is for its own evaluation; so is one from before records.
        return not any((folder / n).exists() for n in (CONFIG, RESULTS, TRACES))
    except (ValueError, TypeError, KeyError):
        return False


def _commit() -> str | None:
    """Commit of the checkout that this package lies in, if it does."""
    checkout = Path(damamba_jax.__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=checkout, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
