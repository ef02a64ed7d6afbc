"""Scores of pooled frames, with intervals from resampled sessions.

Everything is pooled: the frames of all traces of a set are put end to end, then scored
once (MultiMediate's rule; the mean of per-session scores is another number). Intervals
come from resampling whole sessions, since frames of one session are not independent.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from damamba_jax.metrics.ccc import (
    EPSILON,
    ccc_of,
    moments_of,
    pearson_of,
    warn_constant,
)
from damamba_jax.metrics.trace import Align, Frames, Trace, align_frames, concatenate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Agreement over pooled frames.

    Args:
      num_frames, num_sessions: what was pooled.
      ccc: concordance correlation coefficient; 0 for a constant prediction.
      pearson: correlation, the highest CCC an affine map of the prediction can reach;
        0 where either side is constant.
      mse, mae: mean squared and mean absolute error.
      ccc_low, ccc_high: ends of the session-bootstrap interval; `None` for fewer than
        two sessions, whose spread cannot be known.
    """

    num_frames: int
    num_sessions: int
    ccc: float
    pearson: float
    mse: float
    mae: float
    ccc_low: float | None = None
    ccc_high: float | None = None


def score(
    traces: Sequence[Trace],
    *,
    align: Align = "index",
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Scores the pooled frames of `traces`, with a session-bootstrap interval.

    Args:
      traces: tracks to be pooled; those without any label do not count.
      align: how prediction and annotation are paired, see `align_frames`.
      num_resamples: draws of as many sessions as there are, with replacement; 0
        leaves the interval out.
      confidence: share of the draws between the interval's ends (percentiles).
      seed: of the draws. The interval does not depend on the order of `traces`.

    Raises:
      ValueError: if no frame has a label.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence`: expected within (0, 1), got {confidence}.")
    pooled, moments = _by_session(traces, align)
    moments = np.stack(list(moments.values()))
    total = moments.sum(axis=0, keepdims=True)
    epsilon = EPSILON if align == "index" else 0.0
    is_constant = warn_constant(pooled.prediction)
    low, high = _interval(moments, num_resamples, confidence, seed, epsilon)
    return Scores(
        num_frames=len(pooled.label),
        num_sessions=len(moments),
        ccc=0.0 if is_constant else float(ccc_of(total, epsilon)[0]),
        pearson=0.0 if is_constant else float(pearson_of(total)[0]),
        mse=float(total[0, 6] / total[0, 0]),
        mae=float(total[0, 7] / total[0, 0]),
        ccc_low=low,
        ccc_high=high,
    )


def leave_one_out(traces: Sequence[Trace]) -> dict[tuple[str, str], float]:
    """CCC of the pooled frames of all sessions but one, for each in turn.

    Returns:
      By (split, session), in the order of their names.

    Raises:
      ValueError: for fewer than two sessions with labels.
    """
    _, moments = _by_session(traces, "index")
    if len(moments) < 2:
        raise ValueError(
            f"`traces`: expected labels in two sessions or more, got {len(moments)}."
        )
    table = np.stack(list(moments.values()))
    scores = ccc_of(table.sum(axis=0) - table, EPSILON)
    return dict(zip(moments, scores.tolist(), strict=True))


def score_by(
    traces: Sequence[Trace],
    group: Literal["session", "role", "language"],
    **score_options,
) -> dict[str, Scores]:
    """Scores every session, role or language apart, in the order of their names.

    Sessions of several splits are told apart as `split/session`. Traces whose language
    is unknown count as `"unknown"`; groups without a labelled frame are left out.
    """
    keys: Mapping[str, Callable[[Trace], str]] = {
        "session": lambda trace: f"{trace.split}/{trace.session}",
        "role": lambda trace: trace.role,
        "language": lambda trace: trace.language or "unknown",
    }
    if group not in keys:
        raise ValueError(f"`group`: expected one of {sorted(keys)}, got {group!r}.")
    groups: dict[str, list[Trace]] = {}
    for trace in traces:
        if trace.is_labelled:
            groups.setdefault(keys[group](trace), []).append(trace)
    return {name: score(groups[name], **score_options) for name in sorted(groups)}


def _by_session(
    traces: Sequence[Trace], align: Align
) -> tuple[Frames, dict[tuple[str, str], np.ndarray]]:
    """All labelled frames, and the moments of each (split, session)."""
    sessions: dict[tuple[str, str], list[Frames]] = {}
    for trace in sorted(traces, key=lambda t: (t.split, t.session, t.role)):
        frames = align_frames(trace.label, trace.prediction, align=align)
        if len(frames.label):
            sessions.setdefault((trace.split, trace.session), []).append(frames)
    if not sessions:
        raise ValueError(
            f"`traces`: expected at least one labelled frame, got {len(traces)} traces "
            "without any."
        )
    pooled = concatenate([frames for group in sessions.values() for frames in group])
    shift = float(pooled.label.mean())
    return pooled, {
        key: sum(moments_of(f, shift=shift) for f in group)
        for key, group in sessions.items()
    }


def _interval(
    moments: np.ndarray,
    num_resamples: int,
    confidence: float,
    seed: int,
    epsilon: float,
) -> tuple[float | None, float | None]:
    sessions = len(moments)
    if sessions < 2 or num_resamples < 1:
        return None, None
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(sessions, np.full(sessions, 1 / sessions), num_resamples)
    draws = ccc_of(counts.astype(np.float64) @ moments, epsilon)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
