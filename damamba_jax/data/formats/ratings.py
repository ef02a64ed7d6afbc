"""Turns ratings that have a place in time into one value per frame.

Labels from any kind of file become a list of intervals, each with a value. A point in
time stands for the time around it, up to half-way to its neighbours.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Float

# On each side, a point stands for at most this share of the usual distance of points.
REACH = 0.75


class Ratings(NamedTuple):
    """The values that one rater gave to one person.

    Attributes:
      start, end: start and end of each interval, in seconds since the recording began.
      value: value of each interval as the rater gave it; NaN if there is none.
    """

    start: Float[np.ndarray, "n"]
    end: Float[np.ndarray, "n"]
    value: Float[np.ndarray, "n"]

    @property
    def seconds(self) -> float:
        """The end of the last interval with a value, s; 0 without such an interval."""
        given = np.isfinite(self.value) & np.isfinite(self.end - self.start)
        return float(self.end[given].max()) if given.any() else 0.0


def join(parts: Iterable[Ratings]) -> Ratings:
    """Puts lists of ratings end to end."""
    empty = Ratings(np.zeros(0), np.zeros(0), np.zeros(0))
    return Ratings(*map(np.concatenate, zip(empty, *parts, strict=True)))


def from_points(time: Float[np.ndarray, "n"], value: Float[np.ndarray, "n"]) -> Ratings:
    """Makes an interval of the time around each point in time.

    If several points have the same time, the first one counts.
    """
    keep = np.isfinite(time)
    time, first = np.unique(time[keep], return_index=True)
    value = value[keep][first]
    if len(time) < 2:
        # A single point does not tell how long it holds.
        return Ratings(time, time, value)
    steps = np.diff(time)
    reach = REACH * float(np.median(steps))
    half = np.minimum(steps / 2, reach)
    start = time - np.concatenate([[half[0]], half])
    return Ratings(start, time + np.concatenate([half, [half[-1]]]), value)


def sample(ratings: Ratings, *, rate: float, frames: int) -> Float[np.ndarray, "T"]:
    """Samples ratings at the times `i / rate`; NaN where nothing was rated.

    An interval ends where the next one starts, if not earlier.

    Args:
      ratings: intervals, in any order.
      rate: frames per second, Hz.
      frames: number of frames of the result; later ratings are left out.
    """
    out = np.full(frames, np.nan)
    keep = np.isfinite(ratings.start) & np.isfinite(ratings.end)
    order = np.flatnonzero(keep)[np.argsort(ratings.start[keep], kind="stable")]
    start, end = ratings.start[order], ratings.end[order]
    end = np.minimum(end, np.append(start[1:], np.inf))
    # The small number makes up for rounding errors: times on a frame stay on it.
    first, last = (
        np.clip(np.ceil(edge * rate - 1e-6), 0, frames).astype(np.int64)
        for edge in (start, end)
    )
    values = ratings.value[order].tolist()
    for a, b, value in zip(first.tolist(), last.tolist(), values, strict=True):
        out[a:b] = value
    return out


def num_frames(seconds: float, rate: float, *, limit_seconds: float) -> int:
    """Counts the frames up to the last rating, at most those of the recording.

    Args:
      seconds: end of the last rating.
      rate: frames per second, Hz.
      limit_seconds: length of the recording.
    """
    return max(0, math.ceil(min(seconds, limit_seconds) * rate - 1e-6))
