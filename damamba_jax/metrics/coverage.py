"""Bands around scores that hold most annotations of people who were not trained on.

A band reaches as far to both sides as the quantile of absolute errors, where every
session has the same weight. The share of annotations that a band holds is measured too:
on each session, with the band of the other sessions.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from damamba_jax.metrics.trace import Trace, rated

# Share of the annotations that a band should hold.
COVERAGE = 0.9
# Fewer sessions say nothing about the next one.
MIN_SESSIONS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Band:
    """A band around scores.

    Args:
      half_width: the reach below and above the score, in the unit of the annotation.
      coverage: the share of annotations that the band should hold.
      measured: the share of annotations that bands of the other sessions held.
      num_sessions: the number of sessions that the band was made of.
    """

    half_width: float
    coverage: float
    measured: float
    num_sessions: int

    def __str__(self) -> str:
        """Returns how wide the band is and how often it holds the annotation."""
        return (
            f"score ± {self.half_width:.3f}, meant to hold {self.coverage:.0%} of the "
            f"annotations; it held {self.measured:.0%} on {self.num_sessions} sessions "
            "that were not trained on, each with the band of the other sessions"
        )


def measure_band(traces: Sequence[Trace], *, coverage: float = COVERAGE) -> Band | None:
    """Measures a band on the traces of people who were not trained on.

    Args:
      traces: the traces. If they have turns, the band is for scores of turns, and else
        for scores of frames.
      coverage: the share of annotations that the band should hold.

    Returns:
      The band, or `None` if fewer than `MIN_SESSIONS` sessions have annotations. It is
      also `None` for classes, whose probabilities say how sure a prediction is.
    """
    if any(trace.classes for trace in traces):
        return None
    errors: dict[tuple[str, str], list[np.ndarray]] = {}
    for trace in traces:
        if trace.is_labelled:
            frames = rated(trace)
            error = np.abs(frames.label - frames.prediction)
            errors.setdefault((trace.split, trace.session), []).append(error)
    sessions = [np.concatenate(found) for found in errors.values()]
    sessions = [found for found in sessions if len(found)]
    if len(sessions) < MIN_SESSIONS:
        return None
    held = [
        np.mean(mine <= _quantile([e for e in sessions if e is not mine], coverage))
        for mine in sessions
    ]
    return Band(
        half_width=_quantile(sessions, coverage),
        coverage=coverage,
        measured=float(np.mean(held)),
        num_sessions=len(sessions),
    )


def _quantile(sessions: Sequence[np.ndarray], share: float) -> float:
    """Computes a quantile of errors in which every session has the same weight."""
    errors = np.concatenate(sessions)
    weight = np.concatenate([np.full(len(e), 1.0 / len(e)) for e in sessions])
    order = np.argsort(errors)
    total = np.cumsum(weight[order])
    place = np.searchsorted(total, share * total[-1] - 1e-12)
    return float(errors[order][min(place, len(errors) - 1)])
