"""Files of predictions: csv files with times, NOVA annotations, and a picture."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from damamba_jax.data.formats.annotations import (
    ContinuousAnnotation,
    DiscreteAnnotation,
    write_annotation,
)
from damamba_jax.files import write_text
from damamba_jax.inference.recordings import ParticipantScores
from damamba_jax.metrics.trace import Trace
from damamba_jax.reporting.timelines import draw_timeline, try_to_draw

SCORES = "scores.csv"
TURNS = "turns.csv"
ANNOTATION = "scores.annotation"
PICTURE = "timeline.png"


def write_session(
    folder: str | os.PathLike,
    scores: Mapping[str, ParticipantScores],
    *,
    session: str,
    mark: str = "",
) -> None:
    """Writes the scores of all participants of a session.

    The files of a participant are `PARTICIPANT/scores.csv`, `scores.annotation` and, if
    there are turns, `turns.csv`. `timeline.png` shows all participants. The picture is
    written first. `scores.csv` is written last, because it shows that the other files
    are complete.

    Args:
      folder: folder of the session.
      scores: scores of each participant, by name.
      session: name of the session, for the picture.
      mark: mark for the picture's title, e.g. `"simulated"`; empty for none.
    """
    folder = Path(folder)
    traces = [_trace(one, session) for one in scores.values()]
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / PICTURE
    try_to_draw(picture, lambda: draw_timeline(picture, traces, mark=mark))
    for name, one in scores.items():
        own = folder / name
        own.mkdir(exist_ok=True)
        write_annotation(own / ANNOTATION, _annotation(one))
        if one.turns is not None:
            write_text(own / TURNS, _turns(one))
        write_text(own / SCORES, _frames(one))


def is_written(folder: str | os.PathLike, participants: Iterable[str]) -> bool:
    """Says whether the scores of all participants of a session are on disk."""
    return all((Path(folder) / name / SCORES).is_file() for name in participants)


def _frames(one: ParticipantScores) -> str:
    # Six digits are exact enough for rates such as 29.97 Hz, and hide rounding errors.
    times = [f"{t:.6f}".rstrip("0").rstrip(".") for t in one.time]
    if one.classes:
        assert one.probability is not None, "classes have probabilities"
        names, cells = _class_cells(one.classes, one.score, one.probability)
    else:
        empty = np.full(len(one.time), np.nan)
        low, high = (empty if side is None else side for side in (one.low, one.high))
        names, cells = _number_cells(one.score, low, high)
    rows = [
        (one.participant, time, *row) for time, row in zip(times, cells, strict=True)
    ]
    return _csv(("participant", "time", *names), rows)


def _turns(one: ParticipantScores) -> str:
    turns, score = one.turns, one.turn_score
    assert turns is not None and score is not None, "there are turns"
    if one.classes:
        assert one.turn_probability is not None, "classes have probabilities"
        names, cells = _class_cells(one.classes, score, one.turn_probability)
    else:
        band = np.nan if one.turn_band is None else one.turn_band
        ends = (np.clip(score + side, *one.label_range) for side in (-band, band))
        names, cells = _number_cells(score, *ends)
    rows = [
        (one.participant, name, *(f"{edge / one.rate:.3f}" for edge in edges), *row)
        for name, *edges, row in zip(*turns, cells, strict=True)
    ]
    return _csv(("participant", "turn", "start", "end", *names), rows)


_Cells: TypeAlias = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _number_cells(*columns: np.ndarray) -> _Cells:
    """Returns the names of the columns and the rows: a score and its band's ends."""
    values = np.stack(columns, axis=1).tolist()
    rows = [tuple(map(_number, row)) for row in values]
    return ("score", "low", "high"), rows


def _class_cells(
    classes: Sequence[str], number: np.ndarray, probability: np.ndarray
) -> _Cells:
    """Returns the names of the columns and the rows.

    A row holds the most probable class, and the probability of each class.
    """
    rows = [
        (classes[int(n)] if np.isfinite(n) else "", *map(_number, shares))
        for n, shares in zip(number.tolist(), probability.tolist(), strict=True)
    ]
    return ("class", *(f"p_{name}" for name in classes)), rows


def _number(value: float) -> str:
    """Writes a number with the nine digits that a float32 needs; NaN becomes empty."""
    return f"{value:.9g}" if np.isfinite(value) else ""


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _annotation(
    one: ParticipantScores,
) -> ContinuousAnnotation | DiscreteAnnotation:
    meta = {"annotator": "damamba_jax", "role": one.participant}
    if one.classes:
        return _segments(one, meta)
    low, high = one.label_range
    confidence = np.where(np.isfinite(one.score), 1.0, 0.0)
    return ContinuousAnnotation(
        name="engagement",
        sample_rate=one.rate,
        minimum=low,
        maximum=high,
        score=one.score.astype(np.float32),
        confidence=confidence.astype(np.float32),
        meta=meta,
    )


def _segments(one: ParticipantScores, meta: Mapping[str, str]) -> DiscreteAnnotation:
    """Makes one segment for each stretch of frames with the same predicted class."""
    assert one.probability is not None, "classes have probabilities"
    number = np.nan_to_num(one.score, nan=-1.0).astype(np.int64)
    edges = np.flatnonzero(np.diff(number, prepend=-2))
    ends = np.append(edges[1:], len(number))
    keep = number[edges] >= 0
    first, last = edges[keep], ends[keep]
    sure = np.nan_to_num(one.probability.max(axis=1))
    mean = [sure[a:b].mean() for a, b in zip(first, last, strict=True)]
    return DiscreteAnnotation(
        name="engagement",
        classes=dict(enumerate(one.classes)),
        start=first / one.rate,
        stop=last / one.rate,
        id=number[first],
        confidence=np.array(mean, np.float32),
        meta=meta,
    )


def _trace(one: ParticipantScores, session: str) -> Trace:
    return Trace(
        split="prediction",
        session=session,
        role=one.participant,
        label=np.full(len(one.time), np.nan),
        prediction=one.score,
        label_rate=one.rate,
        label_range=one.label_range,
        classes=one.classes,
        probabilities=one.probability,
    )
