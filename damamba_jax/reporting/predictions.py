"""Files of predictions: csv with times, NOVA annotations, and a picture."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from damamba_jax.data.formats.annotations import (
    ContinuousAnnotation,
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
    """Writes everybody's scores in a session, the picture first and each csv last.

    Files are `PARTICIPANT/scores.csv`, `turns.csv` where there are turns, and
    `scores.annotation`; and `timeline.png` of everybody.

    Args:
      folder: of the session.
      scores: by participant.
      session: the session's name, for the picture.
      mark: e.g. `"simulated"`; stands in the picture's title.
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
    """Says whether everybody's scores of a session are on disk."""
    return all((Path(folder) / name / SCORES).is_file() for name in participants)


def _frames(one: ParticipantScores) -> str:
    empty = np.full(len(one.time), np.nan)
    low, high = (empty if side is None else side for side in (one.low, one.high))
    # Exact to the digit for rates such as 29.97 Hz too, without a tail of noise.
    rows = [
        (one.participant, f"{t:.6f}".rstrip("0").rstrip("."), *map(_number, values))
        for t, *values in zip(one.time, one.score, low, high, strict=True)
    ]
    return _csv(("participant", "time", "score", "low", "high"), rows)


def _turns(one: ParticipantScores) -> str:
    assert one.turns is not None and one.turn_score is not None, "there are turns"
    rows = []
    for name, first, last, score in zip(*one.turns, one.turn_score, strict=True):
        band = np.nan if one.turn_band is None else one.turn_band
        ends = np.clip([score - band, score + band], *one.label_range)
        start, end = (f"{frame / one.rate:.3f}" for frame in (first, last))
        numbers = map(_number, (score, *ends))
        rows.append((one.participant, name, start, end, *numbers))
    header = ("participant", "turn", "start", "end", "score", "low", "high")
    return _csv(header, rows)


def _number(value: float) -> str:
    """Nine digits bring a float32 back; nothing stands for what is missing."""
    return f"{value:.9g}" if np.isfinite(value) else ""


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _annotation(one: ParticipantScores) -> ContinuousAnnotation:
    low, high = one.label_range
    confidence = np.where(np.isfinite(one.score), 1.0, 0.0)
    return ContinuousAnnotation(
        name="engagement",
        sample_rate=one.rate,
        minimum=low,
        maximum=high,
        score=one.score.astype(np.float32),
        confidence=confidence.astype(np.float32),
        meta={"annotator": "damamba_jax", "role": one.participant},
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
    )
