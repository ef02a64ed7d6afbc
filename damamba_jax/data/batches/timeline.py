"""Compares the times of model frames and labels exactly.

Times are compared as fractions, because the core that a label belongs to must not
depend on rounding.
"""

import functools
from fractions import Fraction

import numpy as np

from damamba_jax.array_types import Float, Int


def first_label(
    frame: int | Int[np.ndarray, "..."],
    *,
    frame_hz: float,
    label_rate: float | Float[np.ndarray, "..."],
) -> Int[np.ndarray, "..."]:
    """Returns the smallest `i` with `i / label_rate >= frame / frame_hz`, exactly.

    The labels of model frames `[a, b)` are therefore `[first_label(a),
    first_label(b))`. Neighbouring cores share no label and leave none out.

    Args:
      frame: model frames, which may be negative.
      frame_hz: frames of the model per second.
      label_rate: labels per second; one rate for all frames, or one for each frame.
    """
    rates, which = np.unique(label_rate, return_inverse=True)
    ratios = [ratio(rate, frame_hz) for rate in rates.tolist()]
    up, down = np.array(ratios, np.int64).reshape(-1, 2)[which.reshape(-1)].T
    if np.ndim(label_rate) == 0:
        up, down = up[0], down[0]
    return np.asarray(-((-np.asarray(frame, np.int64) * up) // down))


@functools.cache
def ratio(label_rate: float, frame_hz: float) -> tuple[int, int]:
    """Returns labels per model frame as a fraction: numerator and denominator."""
    # Rates such as 30000/1001 or 0.1 become the exact fractions that they stand for.
    exact = Fraction(label_rate).limit_denominator(10**5)
    ratio = exact / Fraction(frame_hz).limit_denominator(10**5)
    return ratio.numerator, ratio.denominator


def num_cores(
    num_labels: int, *, every_frames: int, frame_hz: float, label_rate: float
) -> int:
    """Counts cores, one every `every_frames`, that start by the last label."""
    if num_labels <= 0:
        return 0
    # Core k starts at or before label i if and only if k * every * up / down <= i.
    up, down = ratio(label_rate, frame_hz)
    return (num_labels - 1) * down // (up * every_frames) + 1
