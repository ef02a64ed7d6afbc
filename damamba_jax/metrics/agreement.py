"""The common part of all scores of whole sets, and the interval around a score.

The interval says how far the score of the pooled frames may be from the score of a
large population of sessions. It is a jackknife over whole sessions, since frames of one
session are not independent. `z = atanh(score)` is computed of all sessions, and of all
sessions but one. The interval is `z ± t se`, taken back through tanh, where t is
Student's quantile and `se` is the jackknife's standard error. Simulations in the tests
measure how often the interval holds the truth, for CCC and for kappa.
"""

import dataclasses
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Num

# With fewer sessions no interval is given. It would be too wide to be of use, and it
# would depend on the shape of a distribution that nobody has seen.
MIN_SESSIONS = 8


class Interval(NamedTuple):
    """Ends of an interval."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of predictions with annotations over pooled frames.

    Args:
      num_frames, num_sessions: the number of pooled frames and sessions. A turn that
        was rated as a whole counts as one frame.
      session_mean: the mean over sessions of each session's own headline score.
      session_std: the standard deviation over sessions of each session's own headline
        score; `None` for a single session.
      unit: whether frames or turns were counted.
    """

    headline: ClassVar[str]

    num_frames: int
    num_sessions: int
    session_mean: float | None = None
    session_std: float | None = None
    unit: Literal["frame", "turn"] = "frame"

    @property
    def value(self) -> float:
        """The score by which models are compared. `headline` is its name."""
        raise NotImplementedError

    @property
    def interval(self) -> Interval | None:
        """The interval over sessions, or `None` for fewer than `MIN_SESSIONS`."""
        raise NotImplementedError


def jackknife_interval(
    parts: Num[np.ndarray, "S ..."],
    score_of: Callable[[np.ndarray], Float[np.ndarray, "S"]],
    *,
    confidence: float,
) -> Interval | None:
    """Computes the interval. The module's docstring has the formula.

    Args:
      parts: for each session, its addends of the sums that give the score.
      score_of: the function that computes a score from each of several sums.
      confidence: how often the interval should hold the truth, within (0, 1).

    Returns:
      The interval, or `None` for fewer than `MIN_SESSIONS` sessions.
    """
    # scipy is imported late, because code that only reads a corpus needs no interval.
    from scipy.special import stdtrit

    sessions = len(parts)
    if sessions < MIN_SESSIONS:
        return None
    total = parts.sum(axis=0)
    # The atanh of a score of exactly 1 would be infinite.
    limit = 1.0 - 1e-9
    middle, *without = (
        np.arctanh(np.clip(score, -limit, limit))
        for score in (*score_of(total[None]), *score_of(total - parts))
    )
    error = np.std(without) * np.sqrt(sessions - 1)
    margin = stdtrit(sessions - 1, (1 + confidence) / 2) * error
    return Interval(float(np.tanh(middle - margin)), float(np.tanh(middle + margin)))


def mean_interval(scores: Sequence[Agreement]) -> Interval | None:
    """Averages the ends of several models' intervals.

    It returns `None` if a model has no interval.
    """
    found = [one.interval for one in scores]
    there = [one for one in found if one is not None]
    if not found or len(there) < len(found):
        return None
    return Interval(fmean(i.low for i in there), fmean(i.high for i in there))
