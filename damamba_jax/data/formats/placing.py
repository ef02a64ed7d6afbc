"""Samples with times of their own -> frames at one rate."""

import os
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Float, Int
from damamba_jax.data.formats.stream_header import (
    MAX_GAP_BYTES,
    MAX_GAP_FACTOR,
    MAX_SAMPLE_RATE,
)
from damamba_jax.errors import format_error

# A frame takes the nearest sample within this many frames; beyond, it is missing. Half
# a frame is the jitter of a steady clock, a whole one is a sample that was dropped.
REACH_FRAMES = 0.75
# Bytes that placing takes for each frame, beside its values.
_PLACING_BYTES = 48
_SNAP = 0.02
# Fewer steps between samples tell no rate.
_MIN_STEPS = 8


class Samples(NamedTuple):
    """Samples of one recording, in any order.

    Attributes:
      time: seconds since the recording began.
      piece: the file of each one, as an index.
      row: its row in that file.
      until: seconds, where its turn ends; infinite without turns.
    """

    time: Float[np.ndarray, "n"]
    until: Float[np.ndarray, "n"]
    piece: Int[np.ndarray, "n"]
    row: Int[np.ndarray, "n"]


def steady_rate(samples: Samples, nominal: float) -> float:
    """Estimates how many samples there are in a second, where none was dropped.

    Args:
      samples: the samples; pauses, doubled times and order do not matter.
      nominal: rate that is taken when the estimate is within 2 % of it, or when there
        are too few samples, Hz.
    """
    order = np.lexsort((samples.time, samples.piece))
    steps = np.diff(samples.time[order])
    steps = steps[(np.diff(samples.piece[order]) == 0) & (steps > 0)]
    if len(steps) < _MIN_STEPS:
        return nominal
    typical = np.median(steps)
    steady = steps[(steps > 0.5 * typical) & (steps < 1.5 * typical)]
    rate = 1.0 / float(steady.mean() if len(steady) else typical)
    return nominal if abs(rate - nominal) <= _SNAP * nominal else rate


def place_samples(
    path: str | os.PathLike,
    samples: Samples,
    rate: float,
    *,
    row_bytes: int,
    hold: bool = False,
) -> Int[np.ndarray, "T"]:
    """Finds the sample of each frame: the nearest one, or -1 where none is near.

    Of samples with equal times the first counts. Times before 0 are left out.

    Args:
      path: file that errors name.
      samples: at least one with a time from 0 on.
      rate: frames per second.
      row_bytes: bytes of a frame, which bound how far apart samples may lie.
      hold: a sample holds until the next one, or until its turn ends.

    Raises:
      DataFormatError: if the rate is absurd, or pauses would take more filler than
        `MAX_GAP_BYTES` and `MAX_GAP_FACTOR` times the samples.
    """
    if not 0 < rate <= MAX_SAMPLE_RATE:
        raise format_error(
            path, "time", expected=f"a rate up to {MAX_SAMPLE_RATE:g} Hz", got=rate
        )
    order = np.lexsort((samples.row, samples.piece, samples.time))
    order = order[samples.time[order] * rate > -0.5]
    if not len(order):
        return np.zeros(0, np.int64)
    place = samples.time[order] * rate
    until = samples.until[order] * rate
    if hold and np.isfinite(until).any():
        end = float(until[np.isfinite(until)].max())
        last = max(float(place[-1]), np.ceil(end) - 1)
    else:
        last = float(place[-1])
    sample_bytes = row_bytes + _PLACING_BYTES
    limit = MAX_GAP_BYTES + (1 + MAX_GAP_FACTOR) * len(order) * sample_bytes
    if (last + 1) * sample_bytes > limit:
        raise format_error(
            path,
            "time",
            expected=f"pauses that take at most {limit} bytes of filler (is the unit "
            "right, and where times count from?)",
            got=f"{len(order)} samples over {last / rate:g} s",
        )
    # Equal times: the first stays.
    first = np.concatenate([[True], np.diff(place) > 0])
    order, place, until = order[first], place[first], until[first]
    frames = np.arange(round(last) + 1)
    if hold:
        # The slack keeps rounded products of whole numbers on their side.
        latest = np.searchsorted(place, frames + 1e-6, side="right") - 1
        held = (latest >= 0) & (frames < until[latest] - 1e-6)
        return np.where(held, order[latest], -1)
    after = np.searchsorted(place, frames).clip(0, len(place) - 1)
    before = (after - 1).clip(0)
    nearer = frames - place[before] <= place[after] - frames
    nearest = np.where(nearer, before, after)
    near = np.abs(place[nearest] - frames) <= REACH_FRAMES
    return np.where(near, order[nearest], -1)
