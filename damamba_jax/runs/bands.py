"""Bands around scores, which are kept in the workdir of their model."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from damamba_jax.errors import WorkdirError
from damamba_jax.files import read_json, write_json
from damamba_jax.metrics.coverage import Band, measure_band
from damamba_jax.metrics.trace import Trace
from damamba_jax.runs.workdir import BANDS


class Bands(NamedTuple):
    """The bands of one model; `None` where they could not be measured.

    Attributes:
      frame: band around the score of a frame.
      turn: band around the score of a turn, if turns are scored as a whole.
    """

    frame: Band | None = None
    turn: Band | None = None


def write_bands(workdir: Path, traces: Sequence[Trace]) -> Bands:
    """Measures the bands of a model, and keeps them in a file.

    Args:
      workdir: workdir of the model.
      traces: traces of people who were not trained on.
    """
    by_frame = [dataclasses.replace(trace, turns=None) for trace in traces]
    by_turn = [trace for trace in traces if trace.turns is not None]
    found = Bands(measure_band(by_frame), measure_band(by_turn))
    tree = {
        name: None if band is None else dataclasses.asdict(band)
        for name, band in found._asdict().items()
    }
    write_json(workdir / BANDS, tree)
    return found


def read_bands(workdir: Path) -> Bands:
    """Reads the bands of a model; without a file, both bands are `None`.

    Args:
      workdir: workdir of the model.

    Raises:
      WorkdirError: if the file does not hold bands.
    """
    path = workdir / BANDS
    if not path.is_file():
        return Bands()
    try:
        tree = read_json(path)
        return Bands(**{name: band and _read(band) for name, band in tree.items()})
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise WorkdirError(
            f"{path}: expected bands around scores, got {error}. Delete the file, and "
            "evaluate again."
        ) from error


def _read(tree: Mapping[str, Any]) -> Band:
    return Band(
        half_width=float(tree["half_width"]),
        coverage=float(tree["coverage"]),
        measured=float(tree["measured"]),
        num_sessions=int(tree["num_sessions"]),
    )
