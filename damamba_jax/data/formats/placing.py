"""Places samples that have times of their own on frames at one rate."""

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

# A frame takes the nearest sample if it is at most this many frames away. Otherwise the
# frame is missing. The times of a steady clock vary by half a frame, and a distance of
# a whole frame means that a sample was dropped.
REACH_FRAMES = 0.75
# The bytes that placing needs for each frame, in addition to the values of the frame.
_PLACING_BYTES = 48
_SNAP = 0.02
# The rate is estimated if there are at least so many steps between samples.
_MIN_STEPS = 8
_ENOUGH_SAMPLES = 1 << 18
# So many frames are placed at a time.
_BLOCK_FRAMES = 1 << 16


class Samples(NamedTuple):
    """Samples of one recording, in any order.

    Attributes:
      time: time of each sample, in seconds since the recording began.
      until: end of the turn of each sample, in seconds; infinite without turns.
      piece: index of the file of each sample.
      row: row of each sample in its file.
    """

    time: Float[np.ndarray, "n"]
    until: Float[np.ndarray, "n"]
    piece: Int[np.ndarray, "n"]
    row: Int[np.ndarray, "n"]


def steady_rate(samples: Samples, nominal: float) -> float:
    """Estimates how many samples there are in a second if none was dropped, Hz.

    Args:
      samples: the samples; pauses, doubled times and order do not matter.
      nominal: rate that is returned if the estimate is within 2 % of it, or if there
        are too few samples, Hz.
    """
    time, piece = samples.time, samples.piece
    if _is_sorted(samples):
        # Hours of samples are enough for the estimate.
        time, piece = time[:_ENOUGH_SAMPLES], piece[:_ENOUGH_SAMPLES]
    else:
        order = np.lexsort((time, piece))
        time, piece = time[order], piece[order]
    steps = np.diff(time)
    steps = steps[(np.diff(piece) == 0) & (steps > 0)]
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
    """Finds the index of the sample that is nearest to each frame.

    Of samples with equal times the first counts. Samples that lie half a frame or more
    before the start of the recording are left out.

    Args:
      path: file that errors name.
      samples: the samples, in any order.
      rate: frames per second, Hz.
      row_bytes: bytes of the values of a frame. They limit how long pauses may be.
      hold: whether a sample holds until the next one or until its turn ends.

    Returns:
      The index of the sample of each frame, or -1 if no sample is near it.

    Raises:
      DataFormatError: if the rate is not possible, or if the frames in pauses would
        take more than `MAX_GAP_BYTES` plus `MAX_GAP_FACTOR` times the samples.
    """
    if not 0 < rate <= MAX_SAMPLE_RATE:
        raise format_error(
            path, "time", expected=f"a rate up to {MAX_SAMPLE_RATE:g} Hz", got=rate
        )
    order, time, until = None, samples.time, np.zeros(0)
    if not _is_sorted(samples) or (len(time) and time[0] * rate <= -0.5):
        order = np.lexsort((samples.row, samples.piece, samples.time))
        order = order[samples.time[order] * rate > -0.5]
        time = samples.time[order]
    if not len(time):
        return np.zeros(0, np.int64)
    place = time * rate
    last = float(place[-1])
    if hold:
        until = (samples.until if order is None else samples.until[order]) * rate
        if np.isfinite(until).any():
            end = float(until[np.isfinite(until)].max())
            last = max(last, np.ceil(end) - 1)
    _check_pauses(path, len(place), last, rate, row_bytes + _PLACING_BYTES)
    # Of samples with equal times the first is kept.
    first = np.concatenate([[True], place[1:] > place[:-1]])
    if not first.all():
        order = np.flatnonzero(first) if order is None else order[first]
        place = place[first]
        until = until[first] if hold else until
    found = np.empty(round(last) + 1, np.int64)
    for start in range(0, len(found), _BLOCK_FRAMES):
        frames = np.arange(start, min(start + _BLOCK_FRAMES, len(found)))
        part = _held(frames, place, until) if hold else _nearest(frames, place)
        if order is not None:
            part = np.where(part >= 0, order[part], -1)
        found[frames] = part
    return found


def _check_pauses(
    path: str | os.PathLike, count: int, last: float, rate: float, sample_bytes: int
) -> None:
    """Refuses samples so far apart that the frames between them would fill memory."""
    limit = MAX_GAP_BYTES + (1 + MAX_GAP_FACTOR) * count * sample_bytes
    if (last + 1) * sample_bytes > limit:
        raise format_error(
            path,
            "time",
            expected=f"pauses that take at most {limit} bytes of filler (check the "
            "unit of the times, and the moment from which they count)",
            got=f"{count} samples over {last / rate:g} s",
        )


def _is_sorted(samples: Samples) -> bool:
    """Says whether all samples come from one file and follow each other in time."""
    one = not len(samples.piece) or bool((samples.piece == samples.piece[0]).all())
    ordered = bool((samples.time[1:] >= samples.time[:-1]).all())
    return one and ordered and bool((samples.row[1:] > samples.row[:-1]).all())


def _held(frames: np.ndarray, place: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Returns the sample that holds at each frame, -1 where no sample holds."""
    # The small number makes up for rounding errors: times on a frame stay on it.
    latest = np.searchsorted(place, frames + 1e-6, side="right") - 1
    held = (latest >= 0) & (frames < until[latest] - 1e-6)
    return np.where(held, latest, -1)


def _nearest(frames: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Returns the sample that is nearest to each frame, -1 where none is near."""
    after = np.searchsorted(place, frames).clip(0, len(place) - 1)
    before = (after - 1).clip(0)
    nearer = frames - place[before] <= place[after] - frames
    nearest = np.where(nearer, before, after)
    near = np.abs(place[nearest] - frames) <= REACH_FRAMES
    return np.where(near, nearest, -1)
