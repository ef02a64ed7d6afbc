"""Turns: stretches of an annotation that were rated as a whole.

A turn is an utterance, an exchange or an interval to which raters gave one number, or
one class. The label of a turn is the mean of its rated frames, or their most frequent
class. The prediction of a turn is the mean prediction of its frames, or the mean
probability of each class.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Turns(NamedTuple):
    """The turns of one person, in frames of the annotation.

    Attributes:
      name: the name of each turn.
      first: the first frame of each turn.
      last: the frame after the last one of each turn.
    """

    name: tuple[str, ...]
    first: Int[np.ndarray, "n"]
    last: Int[np.ndarray, "n"]

    def __len__(self) -> int:
        """Returns the number of turns."""
        return len(self.name)


NO_TURNS = Turns((), np.zeros(0, np.int64), np.zeros(0, np.int64))


def place_turns(
    spans: Iterable[tuple[str, float, float]], *, rate: float, frames: int
) -> Turns:
    """Places turns on the frames `i / rate` of an annotation.

    Args:
      spans: the name, the start and the end of each turn, in seconds.
      rate: the frames per second.
      frames: the length of the annotation. Times after its end are left out.

    Returns:
      The turns in the order of their starts. Turns without any frame are left out.
    """
    found = []
    for name, start, end in sorted(spans, key=lambda span: span[1:]):
        # The small number makes up for rounding where a product is a whole number.
        first, last = (math.ceil(edge * rate - 1e-6) for edge in (start, end))
        first, last = max(first, 0), min(last, frames)
        if first < last:
            found.append((name, first, last))
    names, firsts, lasts = zip(*found, strict=True) if found else ((), (), ())
    return Turns(names, np.array(firsts, np.int64), np.array(lasts, np.int64))


def turn_means(
    values: Float[np.ndarray, "T *K"], turns: Turns
) -> Float[np.ndarray, "n *K"]:
    """Averages the finite values of each turn. A turn without any gets NaN."""
    total, count = _turn_sums(values, turns)
    empty = np.full(count.shape, np.nan)
    return np.divide(total, count, out=empty, where=count > 0)


def turn_classes(
    values: Float[np.ndarray, "T"], turns: Turns, num_classes: int
) -> Float[np.ndarray, "n"]:
    """Finds the most frequent class of each turn, or NaN if no frame has a class.

    Args:
      values: the number of the class of each frame; NaN where there is none.
      turns: the turns.
      num_classes: the number of classes. They are numbered from 0.

    Returns:
      The number of the class. If several classes are equally frequent, it is the lowest
      of their numbers.
    """
    there = values[:, None] == np.arange(num_classes)
    count, _ = _turn_sums(there.astype(np.float64), turns)
    return np.where(count.any(axis=1), count.argmax(axis=1), np.nan)


def _turn_sums(
    values: Float[np.ndarray, "T *K"], turns: Turns
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sum and the number of the finite values of each turn."""
    finite = np.isfinite(values)
    zero = np.zeros((1, *values.shape[1:]))
    sums = (
        np.concatenate([zero, np.cumsum(x, axis=0, dtype=np.float64)])
        for x in (np.where(finite, values, 0.0), finite)
    )
    total, count = (x[turns.last] - x[turns.first] for x in sums)
    return total, count
