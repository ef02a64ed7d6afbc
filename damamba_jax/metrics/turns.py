"""Turns: stretches of an annotation that were rated as a whole.

A turn is an utterance, an exchange or an interval to which raters gave one number, or
one class. Its label is the mean of its rated frames, or their most frequent class; its
prediction is the mean over all of its frames, also of the probabilities of classes.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Turns(NamedTuple):
    """The turns of one person, in frames of the annotation.

    Attributes:
      name: of each turn.
      first: its first frame.
      last: the frame behind its last one.
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
      spans: name, start and end of each turn, in seconds.
      rate: frames per second.
      frames: length of the annotation; what lies beyond is left out.

    Returns:
      The turns in the order of their starts; those without any frame are left out.
    """
    found = []
    for name, start, end in sorted(spans, key=lambda span: span[1:]):
        # The slack keeps rounded products of whole numbers on their side.
        first, last = (math.ceil(edge * rate - 1e-6) for edge in (start, end))
        first, last = max(first, 0), min(last, frames)
        if first < last:
            found.append((name, first, last))
    names, firsts, lasts = zip(*found, strict=True) if found else ((), (), ())
    return Turns(names, np.array(firsts, np.int64), np.array(lasts, np.int64))


def turn_means(
    values: Float[np.ndarray, "T *K"], turns: Turns
) -> Float[np.ndarray, "n *K"]:
    """Averages the finite values of each turn; NaN where there is none."""
    total, count = _turn_sums(values, turns)
    empty = np.full(count.shape, np.nan)
    return np.divide(total, count, out=empty, where=count > 0)


def turn_classes(
    values: Float[np.ndarray, "T"], turns: Turns, num_classes: int
) -> Float[np.ndarray, "n"]:
    """Finds the most frequent class of each turn; NaN where no frame has one.

    Args:
      values: number of the class of each frame; NaN where there is none.
      turns: the turns.
      num_classes: classes are numbered from 0 to one less.

    Returns:
      The number of the class; of equally frequent ones, the lowest.
    """
    there = values[:, None] == np.arange(num_classes)
    count, _ = _turn_sums(there.astype(np.float64), turns)
    return np.where(count.any(axis=1), count.argmax(axis=1), np.nan)


def _turn_sums(
    values: Float[np.ndarray, "T *K"], turns: Turns
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the finite values of each turn."""
    finite = np.isfinite(values)
    zero = np.zeros((1, *values.shape[1:]))
    sums = (
        np.concatenate([zero, np.cumsum(x, axis=0, dtype=np.float64)])
        for x in (np.where(finite, values, 0.0), finite)
    )
    total, count = (x[turns.last] - x[turns.first] for x in sums)
    return total, count
