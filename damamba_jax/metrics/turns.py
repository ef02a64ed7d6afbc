"""Turns: stretches of an annotation that were rated as a whole.

A turn is an utterance, an exchange or an interval to which raters gave one number. Its
label is the mean of its rated frames, its prediction the mean over all of its frames.
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


def turn_means(values: Float[np.ndarray, "T"], turns: Turns) -> Float[np.ndarray, "n"]:
    """Averages the finite values of each turn; NaN where there is none."""
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    total, count = (x[turns.last] - x[turns.first] for x in (total, count))
    return np.divide(total, count, out=np.full(len(turns), np.nan), where=count > 0)
