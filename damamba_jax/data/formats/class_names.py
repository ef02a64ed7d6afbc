"""Turns the names of classes, as texts, into the numbers of the classes."""

from collections.abc import Sequence

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.formats.headers import number_or_none


class ClassNames:
    """Reads texts as classes.

    A text names a class in upper or lower case. If the name of a class is a number, a
    text with an equal number names the class too.

    Args:
      names: the names, in the order of the numbers 0, 1, ...
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._by_name = {name.casefold(): i for i, name in enumerate(names)}
        self._by_number: dict[float, int] = {}
        for i, name in enumerate(names):
            number = number_or_none(name)
            if number is not None:
                self._by_number[number] = i

    def __call__(self, text: str) -> float:
        """Returns the number of the class; NaN for a blank text.

        Raises:
          ValueError: for a text that names no class.
        """
        name = text.strip().casefold()
        if not name:
            return np.nan
        if name in self._by_name:
            return float(self._by_name[name])
        number = number_or_none(name)
        if number is None or number not in self._by_number:
            if number is not None and np.isnan(number):
                return np.nan
            raise ValueError(f"{text!r} names no class")
        return float(self._by_number[number])

    def read(self, texts: Sequence[str]) -> tuple[Float[np.ndarray, "n"], list[int]]:
        """Reads many texts; each different text is looked up once.

        Returns:
          The number of the class of each text, NaN where there is none, and the indices
          of the texts that name no class.
        """
        known: dict[str, float] = {}
        refused: set[str] = set()
        for text in dict.fromkeys(texts):
            try:
                known[text] = self(text)
            except ValueError:
                known[text] = np.nan
                refused.add(text)
        values = np.array([known[text] for text in texts], np.float64)
        return values, [i for i, text in enumerate(texts) if text in refused]
