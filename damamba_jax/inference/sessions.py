"""Predictions over whole sessions, from the cores of many windows or from one pass."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from damamba_jax.config.sections import Config, DataConfig
from damamba_jax.data.batches import windows
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.metrics.trace import Trace
from damamba_jax.runtime.stop import Stopped
from damamba_jax.schema.batch import Batch
from damamba_jax.schema.statistics import FeatureStatistics

Mode = Literal["stitched", "long"]

# Sessions whose lengths round up to the same multiple share one compiled shape.
LONG_MULTIPLE_SECONDS = 20.0


@runtime_checkable
class Estimator(Protocol):
    """A trained model, ready to score batches."""

    config: Config
    statistics: Mapping[str, FeatureStatistics]
    simulated: bool
    step: int

    def predict(self, batch: Batch, *, num_frames: int | None = None) -> Any:
        """Scores windows of `num_frames`: `[B, Tl]`, one score per label time."""


def predict_sessions(
    estimator: Estimator,
    sessions: Sequence[Session],
    *,
    protocol: Mode = "stitched",
    batch_size: int = 0,
    targets: Literal["labelled", "all"] = "all",
    split: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Trace]:
    """Predicts every frame of every target of `sessions`.

    Args:
      estimator: its `config.data` says how windows are read.
      sessions: the sessions of one split.
      protocol: `"stitched"`: the model's own windows, of which the core frames are
        kept, each frame once. `"long"`: one window spans the whole session.
      batch_size: windows per batch; 0 takes the training configuration's. One pass
        over a session is always a batch of its own.
      targets: only people with an annotation, or everybody.
      split: name in the traces, if not the sessions' own.
      progress: called with (batches done, batches in all).
      should_stop: asked before each batch.

    Returns:
      Traces in the order of sessions and participants.

    Raises:
      Stopped: once `should_stop` says so.
    """
    config = _show_everybody(estimator.config, sessions)
    passes = _passes(config, sessions, protocol, batch_size, targets)
    predictions: dict[tuple[int, int], np.ndarray] = {}
    total, done = sum(len(source) for _, _, source in passes), 0
    for frames, members, source in passes:
        # One session per batch leaves nothing to read ahead for.
        threads = config.data.num_threads if protocol == "stitched" else 0
        for batch, rows in windows.read_batches(source, num_threads=threads):
            if should_stop is not None and should_stop():
                raise Stopped("evaluation: asked to stop.")
            scores = estimator.predict(batch, num_frames=frames)
            scores = np.asarray(scores, np.float32)
            _place(predictions, sessions, members, scores, rows)
            done += 1
            if progress is not None:
                progress(done, total)
    return [
        _trace(sessions[i], seat, predictions[i, seat], split)
        for i, seat in sorted(predictions)
    ]


def _show_everybody(config: Config, sessions: Sequence[Session]) -> Config:
    """Makes batches `data.eval_participants` wide, if there are so many people."""
    if not config.data.eval_participants:
        return config
    most = max(len(session.participants) for session in sessions)
    # A session of fewer than in training has empty seats, as it has there.
    most = max(most, config.data.participants)
    seats = min(config.data.eval_participants, most)
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, participants=seats)
    )


def _passes(
    config: Config,
    sessions: Sequence[Session],
    protocol: Mode,
    batch_size: int,
    targets: Literal["labelled", "all"],
) -> list[tuple[int, list[int], windows.EvaluationSource]]:
    """(frames of a window, indices of the sessions, their batches)."""
    groups: Sequence[tuple[DataConfig, list[int]]]
    if protocol == "stitched":
        batch_size = batch_size or config.train.batch_size
        groups = [(config.data, list(range(len(sessions))))]
    elif protocol == "long":
        batch_size = 1
        # Whole attention chunks as well, so that padding is the same for everybody.
        frames = LONG_MULTIPLE_SECONDS * config.data.window.frame_hz
        chunk = config.model.frame_multiple
        multiple = math.ceil(frames / chunk) * chunk
        groups = windows.long_passes(sessions, config.data, multiple_frames=multiple)
    else:
        raise ValueError(
            f"`protocol`: expected 'stitched' or 'long', got {protocol!r}."
        )
    passes = []
    for data, members in groups:
        source = windows.EvaluationSource(
            [sessions[i] for i in members],
            data,
            batch_size=batch_size,
            targets=targets,
        )
        passes.append((data.window.window_frames, members, source))
    return passes


def _place(
    predictions: dict[tuple[int, int], np.ndarray],
    sessions: Sequence[Session],
    members: Sequence[int],
    scores: np.ndarray,
    rows: windows.EvaluationRows,
) -> None:
    """Writes the core frames of one batch to where they belong."""
    if scores.shape != rows.label_index.shape:
        raise ValueError(
            f"`estimator.predict`: expected scores of shape {rows.label_index.shape}, "
            f"got {scores.shape}."
        )
    for row in np.flatnonzero(rows.row_valid):
        session, seat = members[rows.session[row]], int(rows.participant[row])
        if (session, seat) not in predictions:
            count = len(_annotation(sessions[session], seat))
            predictions[session, seat] = np.full(count, np.nan, np.float32)
        index = rows.label_index[row]
        core = index >= 0
        predictions[session, seat][index[core]] = scores[row, core]


def _trace(
    session: Session, seat: int, prediction: np.ndarray, split: str | None
) -> Trace:
    return Trace(
        split=split or session.split,
        session=session.id,
        role=session.participants[seat].role,
        label=_annotation(session, seat),
        prediction=prediction,
        label_rate=float(session.label_rate),
        language=session.language,
    )


def _annotation(session: Session, seat: int) -> np.ndarray:
    participant = session.participants[seat]
    if participant.labels_path is not None:
        return np.asarray(participant.labels(), np.float64)
    return np.full(round(session.duration * session.label_rate), np.nan, np.float32)
