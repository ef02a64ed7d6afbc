"""Folders of evaluations, each of which belongs to one set of settings.

The evaluation at the end of training is in the workdir itself. Every evaluation with
other settings gets a folder of its own, `WORKDIR/evaluations/NAME`. No evaluation
overwrites another. `evaluation.json` in each folder says what was evaluated, by which
version, on which device and when.
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
    """All settings in which two evaluations can differ.

    Args:
      workdirs: workdirs of the runs; the first one holds the folder of the evaluation.
      root, labels_root: folders of a corpus and of its labels, if the corpus is not the
        one that was trained on; else empty.
      splits: names of the splits; empty means every split that was not trained on.
      protocol: `"stitched"` or `"long"`.
      smoothing: text like that of the flag, e.g. `"gaussian:1"`; empty means the
        configuration's smoothing.
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
        """Whether this is the evaluation that a run makes at its end."""
        return self == Settings(workdirs=self.workdirs) and len(self.workdirs) == 1

    def to_tree(self) -> dict[str, Any]:
        """Turns the settings into plain values, with absolute paths."""
        tree = dataclasses.asdict(self)
        tree["workdirs"] = [str(Path(w).resolve()) for w in self.workdirs]
        tree["splits"] = list(self.splits)
        for name in ("root", "labels_root"):
            tree[name] = str(Path(tree[name]).resolve()) if tree[name] else ""
        return tree

    def name(self) -> str:
        """Names a folder by the settings that differ from the run's own evaluation."""
        parts = [*self.splits, *(Path(w).resolve().name for w in self.workdirs[1:])]
        parts += [f"root {Path(self.root).name}"] * bool(self.root)
        parts += [f"labels {Path(self.labels_root).name}"] * bool(self.labels_root)
        parts += [self.protocol] * (self.protocol != "stitched")
        parts += [self.smoothing, "ensemble" * self.ensemble]
        text = "+".join(filter(None, parts)) or "again"
        # The name is cut so that it is short enough for every file system.
        return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip(".-")[:100]


def choose_folder(settings: Settings, out: str = "") -> Path:
    """Finds a folder for an evaluation that holds no evaluation with other settings.

    Args:
      settings: the settings of the evaluation.
      out: folder that the user asked for. If it is empty, the run's own evaluation goes
        to the workdir, and every other evaluation to a folder of its own in the
        workdir.

    Raises:
      WorkdirError: if `out` holds another evaluation.
    """
    workdir = Path(settings.workdirs[0])
    if not out and settings.is_own:
        return workdir
    if out:
        folder = Path(out)
        if not _may_hold(folder, settings):
            raise WorkdirError(
                f"`--out`: {folder} holds another evaluation, which is never "
                f"overwritten. Choose a new folder, or leave out `--out`."
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
    """Writes a record: what was evaluated, by which versions, where and when.

    Args:
      folder: folder of the evaluation.
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
    """Says whether a folder is free, or holds an evaluation with the same settings."""
    try:
        record = files.read_json(folder / RECORD)
        return record["settings"] == settings.to_tree()
    except FileNotFoundError:
        # There is no record. The folder of a run is only for the run's own evaluation,
        # and results without a record come from an older version.
        return not any((folder / n).exists() for n in (CONFIG, RESULTS, TRACES))
    except (ValueError, TypeError, KeyError):
        return False


def _commit() -> str | None:
    """Returns the commit of the checkout that holds this package; else `None`."""
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
