"""Checks of the lines of one file of an archive: values, or names of classes."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from damamba_jax.errors import nearest

# Lines with values within [0, 1]; nearly every file has only such lines.
_PLAIN = re.compile(
    r"(?:(?:0(?:\.[0-9]{1,20})?|1(?:\.0{1,20})?)\r?\n)*+"
    r"(?:0(?:\.[0-9]{1,20})?|1(?:\.0{1,20})?)\r?\n?",
    re.ASCII,
)
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?",
    re.ASCII,
)
# Limit for the lines of a file, which is more than nine hours at 30 Hz.
MAX_LINES = 1 << 20
# Number of characters of a line that a message quotes.
_SHOWN = 30


class Lines(NamedTuple):
    """The contents of a file.

    Attributes:
      num_lines: number of lines.
      low, high: smallest and largest value; NaN if there are no values.
      classes: names of the classes that occur.
    """

    num_lines: int
    low: float = float("nan")
    high: float = float("nan")
    classes: frozenset[str] = frozenset()

    @staticmethod
    def range_of(found: Iterable["Lines"]) -> str:
        """Describes the values of several files in one cell of a table."""
        found = list(found)
        classes = frozenset[str]().union(*(lines.classes for lines in found))
        if classes:
            return f"{len(classes)} classes"
        known = [lines for lines in found if lines.low == lines.low]
        if not known:
            return "-"
        low, high = min(a.low for a in known), max(a.high for a in known)
        return f"{low:.3f} to {high:.3f}"


def judge_lines(
    text: str, classes: Sequence[str]
) -> tuple[Lines, tuple[str, str] | None]:
    """Checks the text of a file.

    Args:
      text: text with one value per line.
      classes: names of the classes; empty if values are numbers within [0, 1].

    Returns:
      The contents of the file; and the kind and the text of its first problem, or
      `None` if there is no problem.
    """
    count = text.count("\n")
    if count > MAX_LINES:
        return Lines(count), ("lines", f"expected at most {MAX_LINES} lines")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        return Lines(0), ("empty", "has no line")
    lines = [line.strip() for line in lines]
    if classes:
        found = Lines(len(lines), classes=frozenset(lines) & frozenset(classes))
        wrong = [i for i, line in enumerate(lines) if line not in found.classes]
        return found, _class_problem(lines, wrong, classes)
    if _PLAIN.fullmatch(text):
        values = [float(line) for line in lines]
        return Lines(len(lines), min(values), max(values)), None
    values, wrong = [], []
    for i, line in enumerate(lines):
        value = float(line) if _NUMBER.fullmatch(line) else float("nan")
        if 0.0 <= value <= 1.0:
            values.append(value)
        else:
            wrong.append(i)
    found = Lines(len(lines))
    if values:
        found = Lines(len(lines), min(values), max(values))
    return found, _value_problem(lines, wrong)


def _value_problem(
    lines: Sequence[str], wrong: Sequence[int]
) -> tuple[str, str] | None:
    if not wrong:
        return None
    line = lines[wrong[0]]
    expected = "a number"
    if _NUMBER.fullmatch(line):
        expected = "a value within [0, 1]"
    return "value", _say(lines, wrong, expected)


def _class_problem(
    lines: Sequence[str], wrong: Sequence[int], classes: Sequence[str]
) -> tuple[str, str] | None:
    if not wrong:
        return None
    hint = nearest(lines[wrong[0]][:_SHOWN], classes)
    return "class", f"{_say(lines, wrong, 'a class')}{hint.removesuffix('.')}"


def _say(lines: Sequence[str], wrong: Sequence[int], expected: str) -> str:
    """Describes the first wrong line, and says how many lines are wrong."""
    number, line = wrong[0] + 1, lines[wrong[0]]
    got = f"{line[:_SHOWN]!r}" if line else "an empty line"
    if number == 1 and len(wrong) == 1 and len(lines) > 1:
        got += " (a header?)"
    more = f"; {len(wrong)} lines are wrong" if len(wrong) > 1 else ""
    return f"line {number}: expected {expected}, got {got}{more}"
