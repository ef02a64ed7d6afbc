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
_ENOUGH_SAMPLES = 1 << 18
# Frames that are placed at a time.
_BLOCK_FRAMES = 1 << 16


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
    time, piece = samples.time, samples.piece
    if _is_sorted(samples):
        # Hours of them tell as much as days.
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
    order, time, until = None, samples.time, np.zeros(0)
    if not _is_sorted(samples) or (len(time) and time[0] * rate <= -0.5):
        order = np.lexsort((samples.row, samples.piece, samples.time))
        order = order[samples.time[order] * rate > -0.5]
        time = samples.time[order]
    if not len(time):
        return np.zeros(0, np.int64)
    place = time * rate
    del time
    last = float(place[-1])
    if hold:
        until = (samples.until if order is None else samples.until[order]) * rate
        if np.isfinite(until).any():
            end = float(until[np.isfinite(until)].max())
            last = max(last, np.ceil(end) - 1)
    _check_pauses(path, len(place), last, rate, row_bytes + _PLACING_BYTES)
    # Equal times: the first stays.
    first = np.concatenate([[True], place[1:] > place[:-1]])
    if not first.all():
        order = np.flatnonzero(first) if order is None else order[first]
        place = place[first]
        until = until[first] if hold else until
    found = np.empty(round(last) + 1, np.int64)
    for start in range(0, len(found), _BLOCK_FRAMES):
        frames = np.arange(start, min(start + _BLOCK_FRAMES, len(found)))
        if hold:
            part = _held(frames, place, until)
        else:
            part = _nearest(frames, place)
        if order is not None:
            part = np.where(part >= 0, order[part], -1)
        found[frames] = part
    return found


def _check_pauses(
    path: str | os.PathLike, count: int, last: float, rate: float, sample_bytes: int
) -> None:
    """Refuses samples whose times are so far apart that filler would fill memory."""
    limit = MAX_GAP_BYTES + (1 + MAX_GAP_FACTOR) * count * sample_bytes
    if (last + 1) * sample_bytes > limit:
        raise format_error(
            path,
            "time",
            expected=f"pauses that take at most {limit} bytes of filler (is the unit "
            "right, and where times count from?)",
            got=f"{count} samples over {last / rate:g} s",
        )


def _is_sorted(samples: Samples) -> bool:
    """Whether samples of a single file follow each other in time."""
    one = not len(samples.piece) or bool((samples.piece == samples.piece[0]).all())
    ordered = bool((samples.time[1:] >= samples.time[:-1]).all())
    return one and ordered and bool((samples.row[1:] > samples.row[:-1]).all())


def _held(frames: np.ndarray, place: np.ndarray, until: np.ndarray) -> np.ndarray:
    """The sample that holds at each frame, -1 where none does."""
    # The slack keeps rounded products of whole numbers on their side.
    latest = np.searchsorted(place, frames + 1e-6, side="right") - 1
    held = (latest >= 0) & (frames < until[latest] - 1e-6)
    return np.where(held, latest, -1)


def _nearest(frames: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The sample that is near each frame, -1 where none is."""
    after = np.searchsorted(place, frames).clip(0, len(place) - 1)
    before = (after - 1).clip(0)
    nearer = frames - place[before] <= place[after] - frames
    nearest = np.where(nearer, before, after)
    near = np.abs(place[nearest] - frames) <= REACH_FRAMES
    return np.where(near, nearest, -1)
