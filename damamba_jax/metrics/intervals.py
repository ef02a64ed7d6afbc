"""Scores of pooled frames, with an interval over sessions.

The frames of all traces of a set are put end to end and scored once, which is
MultiMediate's rule. The mean of the scores of single sessions is another number, and is
given too.

The interval is the jackknife of `agreement.py`. It was measured for CCC with 8 to 38
sessions that differ in level, gain, offset and noise. Of its 95 % intervals, 93 to 96 %
held the truth. Intervals from percentiles of resampled sessions held it in only 86 to
93 % of the cases.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from damamba_jax.metrics.agreement import Agreement, Interval, jackknife_interval
from damamba_jax.metrics.ccc import (
    EPSILON,
    ccc_of,
    moments_of,
    pearson_of,
    warn_constant,
)
from damamba_jax.metrics.classes import kappa_of, score_classes, session_tables
from damamba_jax.metrics.trace import Align, Frames, Trace, concatenate, rated


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores(Agreement):
    """Agreement of numbers over pooled frames.

    Args:
      ccc: the concordance correlation coefficient; 0 for a constant prediction.
      pearson: the correlation, which is the highest CCC that an affine map of the
        prediction can reach; 0 if either side is constant.
      mse, mae: the mean squared and the mean absolute error.
      ccc_low, ccc_high: the ends of the interval over sessions; `None` for fewer than
        `agreement.MIN_SESSIONS` sessions.
    """

    headline: ClassVar[str] = "CCC"

    ccc: float
    pearson: float
    mse: float
    mae: float
    ccc_low: float | None = None
    ccc_high: float | None = None

    @property
    def value(self) -> float:
        """The CCC."""
        return self.ccc

    @property
    def interval(self) -> Interval | None:
        """The interval over sessions, if there is one."""
        if self.ccc_low is None or self.ccc_high is None:
            return None
        return Interval(self.ccc_low, self.ccc_high)


def score(traces: Sequence[Trace]) -> Agreement:
    """Scores the pooled frames of `traces`: numbers by CCC, classes by kappa.

    Raises:
      ValueError: if no frame has a label.
    """
    has_classes = bool(traces) and bool(traces[0].classes)
    return score_classes(traces) if has_classes else score_numbers(traces)


def score_numbers(
    traces: Sequence[Trace], *, align: Align = "index", confidence: float = 0.95
) -> Scores:
    """Scores the pooled frames of `traces`, with an interval over their sessions.

    Args:
      traces: the traces to be pooled, in any order. Traces without any label do not
        count.
      align: how prediction and annotation are paired; `align_frames` explains it.
      confidence: how often the interval should hold the truth, within (0, 1).

    Raises:
      ValueError: if no frame has a label, or if `confidence` is not within (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence`: expected within (0, 1), got {confidence}.")
    pooled, by_session = _by_session(traces, align)
    moments = np.stack(list(by_session.values()))
    total = moments.sum(axis=0, keepdims=True)
    epsilon = EPSILON if align == "index" else 0.0
    is_constant = warn_constant(pooled.prediction)
    each = ccc_of(moments, epsilon)
    found = jackknife_interval(
        moments, lambda sums: ccc_of(sums, epsilon), confidence=confidence
    )
    low, high = found or (None, None)
    return Scores(
        num_frames=len(pooled.label),
        num_sessions=len(moments),
        ccc=0.0 if is_constant else float(ccc_of(total, epsilon)[0]),
        pearson=0.0 if is_constant else float(pearson_of(total)[0]),
        mse=float(total[0, 6] / total[0, 0]),
        mae=float(total[0, 7] / total[0, 0]),
        ccc_low=low,
        ccc_high=high,
        session_mean=float(each.mean()),
        session_std=float(each.std(ddof=1)) if len(each) > 1 else None,
        unit="frame" if any(t.turns is None for t in traces) else "turn",
    )


def leave_one_out(traces: Sequence[Trace]) -> dict[tuple[str, str], float]:
    """Leaves out each session once and scores the pooled frames of all others.

    Returns:
      The scores by the (split, session) that was left out, in the order of the names.

    Raises:
      ValueError: if fewer than two sessions have labels.
    """
    has_classes = any(trace.classes for trace in traces)
    parts = session_tables(traces) if has_classes else _by_session(traces, "index")[1]
    if len(parts) < 2:
        raise ValueError(
            f"`traces`: expected labels in two sessions or more, got {len(parts)}."
        )
    table = np.stack(list(parts.values()))
    rest = table.sum(axis=0) - table
    scores = kappa_of(rest) if has_classes else ccc_of(rest, EPSILON)
    return dict(zip(parts, scores.tolist(), strict=True))


def score_by(
    traces: Sequence[Trace],
    group: Literal["session", "role", "language"],
) -> dict[str, Agreement]:
    """Scores every session, role or language by itself, in the order of the names.

    The name of a session is `split/session`. Traces whose language is unknown belong to
    `"unknown"`. Groups without a labelled frame are left out.

    Raises:
      ValueError: if the kind of group is unknown.
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
    return {name: score(groups[name]) for name in sorted(groups)}


def _by_session(
    traces: Sequence[Trace], align: Align
) -> tuple[Frames, dict[tuple[str, str], np.ndarray]]:
    """Returns all labelled frames, and the moments of each (split, session)."""
    sessions: dict[tuple[str, str], list[Frames]] = {}
    for trace in sorted(traces, key=lambda t: (t.split, t.session, t.role)):
        frames = rated(trace, align=align)
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
        key: np.sum([moments_of(f, shift=shift) for f in group], axis=0)
        for key, group in sessions.items()
    }
