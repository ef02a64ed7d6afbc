"""Tables of named columns: csv, npy, npz, parquet, read block by block.

A column becomes float64 numbers or texts; a blank number is NaN. Pyarrow reads text and
parquet files. It is imported when such a file is opened.

| file          | columns                                                     |
|---------------|-------------------------------------------------------------|
| csv, tsv, txt | named by the first line; the second `frame` is `frame.1`;   |
|               | `0`, `1`, ... if the first line holds numbers alone         |
| parquet       | named in the file                                           |
| npy           | `0`, `1`, ... of `[T]` or `[T, columns]`, or named fields   |
| npz           | a name for `[T]`; `name.0`, `name.1`, ... for `[T, columns]`|
| json          | one frame of OpenPose; see `openpose.py`                    |
"""

import dataclasses
import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from damamba_jax.array_types import Float, Int
from damamba_jax.errors import DataFormatError, format_error, nearest

# So many bytes are read to find delimiter, decimal sign and encoding. The first line
# must not be longer.
HEAD_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class TextOptions:
    """How the text of a table is written; an empty field is found out from the text.

    Args:
      delimiter: separator of columns.
      decimal: decimal sign, a point or a comma.
      encoding: the name of an encoding that Python knows.
    """

    delimiter: str = ""
    decimal: str = ""
    encoding: str = ""


class Texts(NamedTuple):
    """A column of texts.

    Attributes:
      codes: for each row the index of its text.
      values: the different texts.
    """

    codes: Int[np.ndarray, "n"]
    values: Sequence[str]


class Block(NamedTuple):
    """Rows that follow each other.

    Attributes:
      numbers: the columns that were asked for as numbers; a blank entry is NaN.
      texts: the columns that were asked for as texts.
    """

    numbers: Float[np.ndarray, "n columns"]
    texts: tuple[Texts, ...]


@runtime_checkable
class Table(Protocol):
    """An open table.

    Attributes:
      path: file that errors name.
      names: names of the columns; all names are different.
    """

    path: Path
    names: tuple[str, ...]

    def blocks(
        self, numbers: Sequence[str], texts: Sequence[str] = ()
    ) -> Iterator[Block]:
        """Yields the rows of some columns.

        Raises:
          DataFormatError: for a malformed row, or text where a number should be.
        """
        ...


def find_columns(
    table: Table, wanted: Sequence[str], *, without: Sequence[str] = ()
) -> tuple[str, ...]:
    """Resolves names and patterns of columns, such as `AU*_r`.

    Args:
      table: the table whose columns are looked for.
      wanted: names of columns, or shell patterns that match several; none means every
        column.
      without: columns that are found only if `wanted` has their full names.

    Returns:
      Names in the order of `wanted`, each of them once.

    Raises:
      DataFormatError: for a name or pattern that fits no column.
    """
    others = [name for name in table.names if name not in without]
    if not wanted:
        return tuple(others)
    found: list[str] = []
    for name in wanted:
        matches = [name] if name in table.names else _matching(name, others)
        if not matches:
            raise _no_column(table, name)
        found += matches
    return tuple(dict.fromkeys(found))


def check_columns(table: Table, names: Sequence[str]) -> None:
    """Checks that a table has columns of exactly these names.

    Raises:
      DataFormatError: for a name that no column has.
    """
    for name in names:
        if name not in table.names:
            raise _no_column(table, name)


def _no_column(table: Table, name: str) -> DataFormatError:
    return format_error(
        table.path,
        "columns",
        expected=f"a column {name!r}",
        got=f"none{nearest(name, table.names)}"[:110].rstrip("."),
    )


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Makes the names of columns different: two `frame` become `frame`, `frame.1`."""
    found: dict[str, None] = {}
    for i, name in enumerate(names):
        name = name.strip() or f"column.{i}"
        count, unique = 0, name
        while unique in found:
            count += 1
            unique = f"{name}.{count}"
        found[unique] = None
    return tuple(found)


def _matching(pattern: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]
