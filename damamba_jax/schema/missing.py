"""The rule for missing samples: which entries and frames of a feature count.

Data sets and models ask the same functions, with arrays of NumPy or of JAX.
"""

from typing import Any, TypeVar

import numpy as np

# An array of NumPy or of JAX.
A = TypeVar("A", bound=Any)

# Entries beyond this are missing: releases hold float32 fill values such as 3.7e19,
# while the largest measured feature (eGeMAPS) reaches 2e6.
MAX_ABS = 1e8

# A stream of fewer columns holds flags, counts or classes (voice activity, a button),
# where a row of zeros says something. Wide extractors write one where they failed.
MIN_COLUMNS_OF_FAILURE = 8


def usable_entries(x: A, missing_value: float | None) -> A:
    """Marks entries that are finite, within `MAX_ABS` and not `missing_value`.

    Args:
      x: values, float32 [..., columns].
      missing_value: value that the feature's extractor writes where it failed.
    """
    usable = abs(x) <= MAX_ABS  # False for NaN
    if missing_value is not None:
        usable = usable & (x != np.float32(missing_value))
    return usable


def usable_frames(x: A, usable: A, kept: A) -> A:
    """Marks frames of which at least half of the kept columns are usable.

    A frame of `MIN_COLUMNS_OF_FAILURE` columns or more whose kept columns are all
    exactly zero is missing: extractors write zeros where they failed. Dropped columns
    do not count: a frame number is never zero.

    Args:
      x: values, float32 [..., columns].
      usable: the result of `usable_entries`.
      kept: columns that count, bool, as many axes as `x` or one.

    Returns:
      Bool [...].
    """
    enough = 2 * (usable & kept).sum(axis=-1) >= kept.sum(axis=-1)
    if x.shape[-1] < MIN_COLUMNS_OF_FAILURE:
        return enough
    return enough & ((x != 0) & kept).any(axis=-1)
