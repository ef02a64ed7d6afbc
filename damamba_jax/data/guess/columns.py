"""The meaning of the columns of a table: people, times, features and annotations."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from damamba_jax.data.guess.contents import Content

# The fields of patterns whose values a column may give.
FIELDS = ("session", "role", "turn", "rater")


@dataclasses.dataclass(frozen=True)
class Columns:
    """The meaning of each column of a table; the name of an absent column is empty.

    Args:
      role, session, turn, rater: columns that say to what a row belongs.
      key: column that gives several of these at once, with its pattern, such as
        `id=P{session}_T{turn}`.
      time, start, end, duration: columns of times.
      unit: unit of the times, as in `time_unit`.
      values: other columns of numbers.
      names: other columns with only a few different words, such as classes.
      wide: pattern of columns that each belong to a turn, such as `Turn {turn}`.
      people: values of the column `role`, in the order of the rows.
    """

    role: str = ""
    session: str = ""
    turn: str = ""
    rater: str = ""
    key: str = ""
    time: str = ""
    start: str = ""
    end: str = ""
    duration: str = ""
    unit: str = "s"
    values: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    wide: str = ""
    people: tuple[str, ...] = ()

    @property
    def told(self) -> frozenset[str]:
        """Fields of patterns whose values are in the columns."""
        named = {"role": self.role, "session": self.session, "rater": self.rater}
        fields = {field for field, column in named.items() if column}
        return frozenset(fields | {f for f in FIELDS if f"{{{f}}}" in self.key})

    @property
    def rows(self) -> tuple[str, ...]:
        """The field `rows` of a configuration, which says to whom each row belongs."""
        named = {"session": self.session, "role": self.role, "rater": self.rater}
        rows = [f"{column}={{{f}}}" for f, column in named.items() if column]
        return (*rows, *([self.key] if self.key else []))


def distinct(contents: Sequence[Content], column: str) -> tuple[str, ...]:
    """Returns the different values of a column, in the order of the rows."""
    found: dict[str, str] = {}
    for content in contents:
        if column in content.texts:
            values: Sequence[str] = content.texts[column]
        else:
            numbers = content.numbers.get(column, np.zeros(0))
            values = [f"{v:g}" for v in numbers[np.isfinite(numbers)].tolist()]
        for value in dict.fromkeys(values):
            if value.strip():
                found.setdefault(value.strip().lower(), value.strip())
    return tuple(found.values())


def in_seconds(content: Content, columns: Columns, name: str) -> np.ndarray:
    """Returns the times of a column, s; NaN for a text that is not a time."""
    if columns.unit == "mm:ss":
        texts = content.texts.get(name, ())
        return np.array([_clock_seconds(text) for text in texts], np.float64)
    factor = 1e-3 if columns.unit == "ms" else 1.0
    return content.numbers.get(name, np.zeros(0)) * factor


def _clock_seconds(text: str) -> float:
    try:
        parts = [float(part) for part in text.strip().replace(",", ".").split(":")]
    except ValueError:
        return np.nan
    return float(sum(part * 60.0**i for i, part in enumerate(reversed(parts))))
