"""Predictions over whole sessions, from the cores of many windows or in one pass."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.batches import windows
from damamba_jax.data.batches.everybody import all_alike
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.metrics.trace import Trace, from_unit
from damamba_jax.runtime.stop import Stopped

Mode = Literal["stitched", "long"]

# Sessions whose lengths round up to the same multiple share one compiled shape.
LONG_MULTIPLE_SECONDS = 20.0


def predict_sessions(
    predict: Callable[..., Any],
    sessions: Sequence[Session],
    data: DataConfig,
    *,
    batch_size: int,
    frame_multiple: int,
    protocol: Mode = "stitched",
    targets: Literal["labelled", "all"] = "all",
    split: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    shares_people: bool = False,
) -> list[Trace]:
    """Predicts every frame of every target, in the range of the annotations.

    Args:
      predict: the method `predict` of an `Estimator`, or any function like it.
      sessions: the sessions of one split.
      data: the configuration of the data, which says how windows are read.
      batch_size: windows in a batch; a long pass is a batch of its own.
      frame_multiple: the frames of a long pass are a multiple of this number.
      protocol: `"stitched"` takes the model's own windows and keeps their core frames,
        each frame once. `"long"` takes one window over the whole session.
      targets: whether only people with an annotation are scored, or everybody.
      split: the name of the split in the traces; None means the sessions' own split.
      progress: a function that is called with (batches done, batches in all).
      should_stop: a function that is asked before each batch.
      shares_people: whether `predict` takes batches in which everybody is a target.

    Returns:
      The traces in the order of sessions and participants.

    Raises:
      Stopped: if `should_stop` returns true.
      ValueError: if the protocol is unknown, or if scores have a wrong shape.
    """
    groups = _group(data, sessions, protocol, frame_multiple)
    # With one session in a batch, there is nothing to read ahead.
    long = protocol == "long"
    size, threads = (1, 0) if long else (batch_size, data.num_threads)
    make = functools.partial(windows.EvaluationSource, batch_size=size, targets=targets)
    if shares_people and not long:
        make = functools.partial(make, everybody=all_alike(sessions, groups[0][0]))
    sources = [make([sessions[i] for i in group], shown) for shown, group in groups]
    predictions: dict[tuple[int, int], np.ndarray] = {}
    total, done = sum(map(len, sources)), 0
    for (shown, members), source in zip(groups, sources, strict=True):
        for batch, rows in windows.read_batches(source, num_threads=threads):
            if should_stop is not None and should_stop():
                raise Stopped("evaluation was asked to stop.")
            scores = predict(batch, num_frames=shown.window.window_frames)
            _place(predictions, sessions, members, np.asarray(scores), rows)
            done += 1
            if progress is not None:
                progress(done, total)
    return [
        make_trace(sessions[i], seat, found, split=split)
        for (i, seat), found in sorted(predictions.items(), key=lambda item: item[0])
    ]


def show_everybody(data: DataConfig, sessions: Sequence[Session]) -> DataConfig:
    """Sets how many people a batch of an evaluation shows, in `participants`.

    It shows `data.eval_participants` people, if there are so many in one session.

    Args:
      data: configuration of the data.
      sessions: the sessions that are evaluated together.
    """
    if not data.eval_participants:
        return data
    most = max(len(session.participants) for session in sessions)
    # A session with fewer people than in training has empty seats, as in training.
    most = max(most, data.participants)
    return dataclasses.replace(data, participants=min(data.eval_participants, most))


def _group(
    data: DataConfig, sessions: Sequence[Session], protocol: Mode, frame_multiple: int
) -> list[tuple[DataConfig, list[int]]]:
    """Returns, for each group of sessions, how windows are read, and the sessions.

    For long passes, the lengths of a group's sessions round up to the same number of
    frames, so that they share one compiled shape. Their padding is then the same too.
    """
    data = show_everybody(data, sessions)
    if protocol == "stitched":
        return [(data, list(range(len(sessions))))]
    if protocol != "long":
        raise ValueError(
            f"`protocol`: expected 'stitched' or 'long', got {protocol!r}."
        )
    frames = LONG_MULTIPLE_SECONDS * data.window.frame_hz
    multiple = math.ceil(frames / frame_multiple) * frame_multiple
    return windows.long_passes(sessions, data, multiple_frames=multiple)


def _place(
    predictions: dict[tuple[int, int], np.ndarray],
    sessions: Sequence[Session],
    members: Sequence[int],
    scores: np.ndarray,
    rows: windows.EvaluationRows,
) -> None:
    """Writes the scores of one batch's core frames to their places in the sessions."""
    if scores.shape[:2] != rows.label_index.shape:
        raise ValueError(
            f"`predict`: expected scores of shape {rows.label_index.shape}, "
            f"got {scores.shape}."
        )
    for row in np.flatnonzero(rows.row_valid):
        session, seat = members[rows.session[row]], int(rows.participant[row])
        if (session, seat) not in predictions:
            count = sessions[session].num_frames(seat)
            shape = (count, *scores.shape[2:])
            predictions[session, seat] = np.full(shape, np.nan, np.float32)
        index = rows.label_index[row]
        core = index >= 0
        predictions[session, seat][index[core]] = scores[row, core]


def make_trace(
    session: Session,
    seat: int,
    prediction: Float[np.ndarray, "T *K"],
    *,
    split: str | None = None,
) -> Trace:
    """Puts a prediction beside the annotation, in the annotation's own range.

    Args:
      session: the recording.
      seat: the index of the participant in the session.
      prediction: one value within [0, 1] for each frame, or the probability of each
        class.
      split: the name of the split in the trace; None means the session's own split.
    """
    label, values = session.annotation(seat), prediction
    if session.classes:
        values = np.full(len(prediction), np.nan)
    else:
        label, values = (from_unit(x, session.label_range) for x in (label, values))
    trace = Trace(
        split=split or session.split,
        session=session.id,
        role=session.participants[seat].role,
        label=label,
        prediction=values,
        label_range=session.label_range,
        label_rate=float(session.label_rate),
        language=session.language,
        gender=session.participants[seat].gender,
        turns=session.turns(seat),
        classes=session.classes,
        classes_ordered=session.classes_ordered,
    )
    return trace.with_probabilities(prediction) if session.classes else trace
