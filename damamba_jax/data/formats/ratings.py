"""Ratings with a place in time -> one value per frame.

Whatever a label came from, it is a list of intervals with a value here: a point in time
stands for the time around it, up to half-way to its neighbours.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Float

# A point stands for at most this share of the usual distance of points, on each side.
REACH = 0.75


class Ratings(NamedTuple):
    """What one rater said about one person.

    Attributes:
      start, end: seconds since the recording began.
      value: as the rater gave it; NaN where nothing was given.
    """

    start: Float[np.ndarray, "n"]
    end: Float[np.ndarray, "n"]
    value: Float[np.ndarray, "n"]

    @property
    def seconds(self) -> float:
        """The end of the last interval with a value; 0 without any."""
        given = np.isfinite(self.value) & np.isfinite(self.end - self.start)
        return float(self.end[given].max()) if given.any() else 0.0


def join(parts: Iterable[Ratings]) -> Ratings:
    """Puts lists of ratings end to end."""
    empty = Ratings(np.zeros(0), np.zeros(0), np.zeros(0))
    return Ratings(*map(np.concatenate, zip(empty, *parts, strict=True)))


def from_points(time: Float[np.ndarray, "n"], value: Float[np.ndarray, "n"]) -> Ratings:
    """Gives each point in time the time around it.

    Of points with equal times the first counts.
    """
    keep = np.isfinite(time)
    time, first = np.unique(time[keep], return_index=True)
    value = value[keep][first]
    if len(time) < 2:
        # A single point says nothing about its duration.
        return Ratings(time, time, value)
    steps = np.diff(time)
    reach = REACH * float(np.median(steps))
    half = np.minimum(steps / 2, reach)
    start = time - np.concatenate([[half[0]], half])
    return Ratings(start, time + np.concatenate([half, [half[-1]]]), value)


def sample(ratings: Ratings, *, rate: float, frames: int) -> Float[np.ndarray, "T"]:
    """Samples ratings at the times `i / rate`; NaN where nothing was rated.

    An interval ends at the latest where the next one starts.

    Args:
      ratings: intervals, in any order.
      rate: frames per second.
      frames: length of the result; what lies beyond is left out.
    """
    out = np.full(frames, np.nan)
    keep = np.isfinite(ratings.start) & np.isfinite(ratings.end)
    order = np.flatnonzero(keep)[np.argsort(ratings.start[keep], kind="stable")]
    start, end = ratings.start[order], ratings.end[order]
    end = np.minimum(end, np.append(start[1:], np.inf))
    # The slack keeps rounded products of whole numbers on their side.
    first, last = (
        np.clip(np.ceil(edge * rate - 1e-6), 0, frames).astype(np.int64)
        for edge in (start, end)
    )
    values = ratings.value[order].tolist()
    for a, b, value in zip(first.tolist(), last.tolist(), values, strict=True):
        out[a:b] = value
    return out


def num_frames(seconds: float, rate: float, *, limit_seconds: float) -> int:
    """Frames up to the last rating, and no more than the recording has."""
    return max(0, math.ceil(min(seconds, limit_seconds) * rate - 1e-6))
