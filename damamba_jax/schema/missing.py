"""The rule for missing samples: which entries and frames of a feature count.

Data sets and models use the same functions, with arrays of NumPy or of JAX.
"""

from typing import Any, TypeVar

import numpy as np

# An array of NumPy or of JAX.
A = TypeVar("A", bound=Any)

# Entries whose absolute value is larger count as missing. Releases hold float32 fill
# values such as 3.7e19, while the largest measured feature (eGeMAPS) reaches 2e6.
MAX_ABS = 1e8

# Numbers that programs write if they have no value. They may also be true values.
SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0)

# A stream with fewer columns holds flags, counts or classes (voice activity, a button).
# There a row of zeros is a valid sample. An extractor with more columns writes a row of
# zeros where it failed.
MIN_COLUMNS_OF_FAILURE = 8


def usable_entries(x: A, missing_value: float | None) -> A:
    """Marks entries that are finite, within `MAX_ABS` and not `missing_value`.

    Args:
      x: the values, float32 [..., columns].
      missing_value: the value that the feature's extractor writes where it failed, or
        None.
    """
    usable = abs(x) <= MAX_ABS  # False for NaN
    if missing_value is not None:
        usable = usable & (x != np.float32(missing_value))
    return usable


def usable_frames(x: A, usable: A, kept: A) -> A:
    """Marks frames of which at least half of the kept columns are usable.

    A frame with `MIN_COLUMNS_OF_FAILURE` columns or more is also missing if its kept
    columns are all exactly zero, since extractors write zeros where they failed.
    Dropped columns do not count here, because some of them, such as frame numbers, are
    never zero.

    Args:
      x: the values, float32 [..., columns].
      usable: the result of `usable_entries`.
      kept: bool, whether each column counts. It has one axis, or as many as `x`.

    Returns:
      Bool [...], whether each frame is usable.
    """
    enough = 2 * (usable & kept).sum(axis=-1) >= kept.sum(axis=-1)
    if x.shape[-1] < MIN_COLUMNS_OF_FAILURE:
        return enough
    return enough & ((x != 0) & kept).any(axis=-1)
