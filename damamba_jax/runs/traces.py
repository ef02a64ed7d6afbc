"""Predictions of whole splits on disk, for scores, means and comparisons later.

An evaluation keeps one file for each split, `traces/{split}.npz`. It holds the
annotations and the predictions of all people, one after the other, and says which
person they belong to.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from damamba_jax import files
from damamba_jax.errors import WorkdirError
from damamba_jax.files import DAMAGE, replace_file, split_file_name
from damamba_jax.metrics.trace import Gender, Trace
from damamba_jax.metrics.turns import Turns
from damamba_jax.runs.workdir import TRACES

_GENDERS: dict[str, Gender] = {"female": "female", "male": "male"}
_log = logging.getLogger(__name__)


def write_traces(
    out: str | os.PathLike, traces: Sequence[Trace], *, key: str = ""
) -> Path:
    """Writes the traces of one split to a file, which appears in one move.

    Args:
      out: folder of an evaluation.
      traces: traces of one split.
      key: hash of everything that the traces depend on; see `read_kept`.

    Returns:
      The path of the file.

    Raises:
      ValueError: if there are no traces, or traces of several splits.
    """
    splits = {trace.split for trace in traces}
    if len(splits) != 1:
        raise ValueError(
            f"`traces`: expected those of one split, got {sorted(splits) or 'none'}."
        )
    path = _path(out, *splits)
    with replace_file(path) as file:
        arrays = dict(
            key=np.array(key),
            split=np.array(traces[0].split),
            session=np.array([trace.session for trace in traces]),
            role=np.array([trace.role for trace in traces]),
            # An empty text means that the value is not known.
            language=np.array([trace.language or "" for trace in traces]),
            gender=np.array([trace.gender or "" for trace in traces]),
            label_rate=np.array([trace.label_rate for trace in traces]),
            label_range=np.array([trace.label_range for trace in traces]),
            length=np.array([len(trace.label) for trace in traces]),
            label=np.concatenate([trace.label for trace in traces]),
            prediction=np.concatenate([trace.prediction for trace in traces]),
        )
        arrays |= _turn_arrays(traces) | _class_arrays(traces)
        np.savez(file, allow_pickle=False, **arrays)
    return path


def read_kept(out: str | os.PathLike, split: str, key: str) -> list[Trace] | None:
    """Reads the traces of a split if they were written with this key.

    Args:
      out: folder of an evaluation.
      split: name of the split.
      key: key that `write_traces` got; with an empty key nothing is read.

    Returns:
      The traces; `None` if there is no file, if the file has another key, or if it
      cannot be read.
    """
    path = _path(out, split)
    if not key:
        return None

    def read(path: Path) -> list[Trace] | None:
        # The file is opened here, because `np.load` leaves a damaged file open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as kept:
            if "key" not in kept or str(kept["key"]) != key:
                return None
            return _parse(kept)

    return files.read_kept(path, read, _log)


def read_traces(out: str | os.PathLike, split: str) -> list[Trace]:
    """Reads the traces of a split that `write_traces` wrote.

    Args:
      out: folder of an evaluation.
      split: name of the split.

    Raises:
      ValueError: if there is no such file.
      WorkdirError: if the file is damaged.
    """
    path = _path(out, split)
    if not path.is_file():
        raise ValueError(
            f"{path}: expected the predictions of an evaluation, found no file; "
            f"evaluate first: damamba evaluate --workdir={out}."
        )
    # `np.load` leaves a damaged file open, so it is opened here. A file that may not be
    # opened is not damaged.
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as kept:
                return _parse(kept)
        except DAMAGE as error:
            raise WorkdirError(
                f"{path}: expected the predictions of an evaluation, got {error!r}; "
                f"evaluate again: damamba evaluate --workdir={out}."
            ) from error


def _parse(kept: Mapping[str, np.ndarray]) -> list[Trace]:
    ends = np.cumsum(kept["length"])[:-1]
    labels = np.split(kept["label"], ends)
    predictions = np.split(kept["prediction"], ends)
    # Older files hold annotations from 0 to 1.
    ranges = np.broadcast_to([0.0, 1.0], (len(labels), 2))
    if "label_range" in kept:
        ranges = kept["label_range"]
    genders = np.broadcast_to("", len(labels))
    if "gender" in kept:
        genders = kept["gender"]
    turns = _read_turns(kept, len(labels))
    probabilities = [None] * len(labels)
    if "probabilities" in kept:
        probabilities = np.split(kept["probabilities"], ends)
    classes = tuple(kept["classes"].tolist()) if "classes" in kept else ()
    ordered = bool(classes) and bool(kept["classes_ordered"])
    return [
        Trace(
            split=str(kept["split"]),
            session=str(session),
            role=str(role),
            language=str(language) or None,
            gender=_GENDERS.get(str(gender)),
            label_rate=float(rate),
            label_range=(float(low), float(high)),
            label=label,
            prediction=prediction,
            turns=own,
            classes=classes,
            classes_ordered=ordered,
            probabilities=chances,
        )
        for (
            session, role, language, gender, rate, (low, high), label, prediction,
            own, chances,
        ) in zip(
            kept["session"], kept["role"], kept["language"], genders,
            kept["label_rate"], ranges, labels, predictions, turns, probabilities,
            strict=True,
        )
    ]  # fmt: skip


def _class_arrays(traces: Sequence[Trace]) -> dict[str, np.ndarray]:
    """Returns the arrays of classes; all traces of a split have the same classes."""
    if not traces[0].classes:
        return {}
    return {
        "classes": np.array(traces[0].classes),
        "classes_ordered": np.array(traces[0].classes_ordered),
        "probabilities": np.concatenate([t.class_probabilities() for t in traces]),
    }


def _turn_arrays(traces: Sequence[Trace]) -> dict[str, np.ndarray]:
    """Returns the turns of all traces, one after the other.

    The result is empty if frames are rated.
    """
    if any(trace.turns is None for trace in traces):
        return {}
    turns = [trace.turns for trace in traces if trace.turns is not None]
    return {
        "turn_count": np.array([len(one) for one in turns]),
        "turn_name": np.array([name for one in turns for name in one.name], str),
        "turn_first": np.concatenate([one.first for one in turns]),
        "turn_last": np.concatenate([one.last for one in turns]),
    }


def _read_turns(kept: Mapping[str, np.ndarray], people: int) -> list[Turns | None]:
    if "turn_count" not in kept:
        return [None] * people
    ends = np.cumsum(kept["turn_count"])[:-1]
    parts = (np.split(kept[f"turn_{field}"], ends) for field in Turns._fields)
    return [
        Turns(tuple(names.tolist()), first, last)
        for names, first, last in zip(*parts, strict=True)
    ]


def _path(out: str | os.PathLike, split: str) -> Path:
    return Path(out) / TRACES / f"{split_file_name(split)}.npz"
