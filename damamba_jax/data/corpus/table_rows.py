"""Reads rows of tables: which person they belong to, and when they were recorded."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from damamba_jax.array_types import Bool, Float, Int
from damamba_jax.config.layout import TableReading, TurnsConfig
from damamba_jax.data.corpus import patterns
from damamba_jax.data.formats.open_table import open_table
from damamba_jax.data.formats.tables import (
    Table,
    TextOptions,
    Texts,
    check_columns,
)
from damamba_jax.errors import format_error

# A table may have so many rows, and in addition so many for each byte of its file.
_MAX_ROWS = 1 << 22
_MAX_ROWS_PER_BYTE = 8

_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:[.,]\d{1,20})?)")


class Rows(NamedTuple):
    """Rows of a table that belong to one person.

    Attributes:
      row: numbers of the rows in the file, from 0 on.
      numbers: columns of times, in seconds, and the columns that were asked for.
      fields: values of the fields in patterns of `rows`, such as the turn of each row.
      texts: the texts of each column that was asked for as text.
    """

    row: Int[np.ndarray, "n"]
    numbers: Float[np.ndarray, "n columns"]
    fields: Mapping[str, Texts]
    texts: Mapping[str, Texts]


def open_with(path: Path, reading: TableReading) -> Table:
    """Opens a table with the settings of a configuration."""
    options = TextOptions(
        delimiter=reading.delimiter,
        decimal=reading.decimal,
        encoding=reading.encoding,
    )
    return open_table(path, options)


def key_columns(reading: TableReading) -> list[str]:
    """Lists the columns that say to whom a row belongs."""
    return [entry.partition("=")[0] for entry in reading.rows]


def read_rows(
    table: Table,
    reading: TableReading,
    fields: Mapping[str, str],
    *,
    times: Sequence[str] = (),
    numbers: Sequence[str] = (),
    texts: Sequence[str] = (),
    nominal_rate: float,
) -> Iterator[Rows]:
    """Yields the rows of one person, block by block.

    Args:
      table: the open table.
      reading: how rows and times are read.
      fields: known fields of patterns, such as session and role.
      times: columns of times; they come first among the numbers, in seconds.
      numbers: columns that are read as numbers.
      texts: columns that are read as text.
      nominal_rate: frames per second if the configuration gives no `frame_rate`, Hz.

    Raises:
      DataFormatError: for a column that is absent, a value that is no number, or a
        table with too many rows for the size of its file.
    """
    clocks = times if reading.time_unit == "mm:ss" else ()
    keys = [entry.partition("=")[::2] for entry in reading.rows]
    check_columns(table, [*times, *(name for name, _ in keys)])
    rules = [patterns.compile_part(pattern, fields, {}) for _, pattern in keys]
    factor = _seconds_per_unit(reading, nominal_rate)
    first = 0
    for block in table.blocks(
        [*numbers] if clocks else [*times, *numbers],
        [*clocks, *(name for name, _ in keys), *texts],
    ):
        found_texts = iter(block.texts)
        if clocks:
            seconds = [_clock_seconds(table.path, n, next(found_texts)) for n in clocks]
            values = np.column_stack([*seconds, block.numbers])
        else:
            values = block.numbers.copy()
            values[:, : len(times)] *= factor
        columns = [next(found_texts) for _ in rules]
        keep, bound = _match_keys(rules, columns, len(values))
        row = first + np.flatnonzero(keep)
        first += len(values)
        most = _MAX_ROWS + _MAX_ROWS_PER_BYTE * table.path.stat().st_size
        if first > most:
            raise format_error(
                table.path,
                "rows",
                expected=f"at most {most} in a file of this size",
                got=f"{first} or more",
            )
        asked = dict(zip(texts, found_texts, strict=True))
        fields_kept, texts_kept = (
            {n: Texts(t.codes[keep], t.values) for n, t in some.items()}
            for some in (bound, asked)
        )
        yield Rows(row, values[keep], fields_kept, texts_kept)


def _match_keys(
    rules: Sequence[re.Pattern[str]], columns: Sequence[Texts], num_rows: int
) -> tuple[Bool[np.ndarray, "n"], dict[str, Texts]]:
    """Finds which rows belong to a person, and what the patterns found in each row."""
    keep = np.ones(num_rows, bool)
    bound: dict[str, Texts] = {}
    for rule, column in zip(rules, columns, strict=True):
        matches = [rule.fullmatch(value) for value in column.values]
        keep &= np.array([m is not None for m in matches], bool)[column.codes]
        for name in rule.groupindex:
            found = [m[name] if m else "" for m in matches]
            bound[name] = Texts(column.codes, found)
    return keep, bound


class AllRows(NamedTuple):
    """All rows of a person at once, like `Rows`, but with a text for each row."""

    numbers: Float[np.ndarray, "n columns"]
    fields: Mapping[str, np.ndarray]
    texts: Mapping[str, np.ndarray]


def read_all(
    table: Table, reading: TableReading, fields: Mapping[str, str], **options: Any
) -> AllRows:
    """Reads all rows that `read_rows` yields; this is meant for annotations and turns.

    Args:
      table: the open table.
      reading: how rows and times are read.
      fields: known fields of patterns, such as session and role.
      options: keywords of `read_rows`.

    Raises:
      DataFormatError: as `read_rows`, and if one person has too many rows.
    """
    parts, total = [], 0
    for part in read_rows(table, reading, fields, **options):
        total += len(part.row)
        if total > _MAX_ROWS:
            raise format_error(
                table.path,
                "rows",
                expected=f"at most {_MAX_ROWS} rows of one person",
                got=f"{total} or more",
            )
        parts.append(part)
    if not parts:
        width = len(options.get("times", ())) + len(options.get("numbers", ()))
        empty = {name: np.zeros(0, str) for name in options.get("texts", ())}
        return AllRows(np.zeros((0, width)), {}, empty)
    return AllRows(
        np.concatenate([part.numbers for part in parts]),
        _join_texts([part.fields for part in parts]),
        _join_texts([part.texts for part in parts]),
    )


def _join_texts(parts: Sequence[Mapping[str, Texts]]) -> dict[str, np.ndarray]:
    return {
        name: np.concatenate(
            [np.array(part[name].values)[part[name].codes] for part in parts]
        )
        for name in parts[0]
    }


class Span(NamedTuple):
    """A stretch of a recording.

    Attributes:
      start, end: seconds since the recording began.
      name: the name of the stretch as the table spells it.
    """

    start: float
    end: float
    name: str = ""


def read_turns(
    paths: Sequence[Path], config: TurnsConfig, fields: Mapping[str, str]
) -> dict[str, Span]:
    """Reads when each turn starts and ends.

    Args:
      paths: the tables of a session.
      config: the columns of the tables.
      fields: known fields of patterns, such as session and role.

    Returns:
      Spans by the name of the turn, in lower case.

    Raises:
      DataFormatError: for a malformed table, a time that is blank, or an end that is
        before its start.
    """
    turns: dict[str, Span] = {}
    reading = dataclasses.replace(
        config, rows=(*config.rows, f"{config.turn}={{turn}}")
    )
    columns = [c for c in (config.start, config.end or config.duration) if c]
    for path in paths:
        rows = read_all(
            open_with(path, config), reading, fields, times=columns, nominal_rate=1.0
        )
        clock = 0.0
        names = rows.fields.get("turn", ())
        for name, values in zip(names, rows.numbers.tolist(), strict=True):
            start = values[0] if config.start else clock
            end = values[-1] if config.end else start + values[-1]
            if not (np.isfinite(start) and start <= end < np.inf):
                raise format_error(
                    path,
                    f"turn {name}",
                    expected="a start, and an end that is not before it",
                    got=f"{start} to {end} s",
                )
            turns[str(name).casefold()] = Span(start, end, str(name))
            clock = end
    return turns


def _seconds_per_unit(reading: TableReading, nominal_rate: float) -> float:
    if reading.time_unit == "frames":
        return 1.0 / (reading.frame_rate or nominal_rate)
    return 1e-3 if reading.time_unit == "ms" else 1.0


def _clock_seconds(path: Path, name: str, column: Texts) -> np.ndarray:
    seconds = np.full(len(column.values), np.nan)
    for i, text in enumerate(column.values):
        if not text.strip():
            continue
        match = _CLOCK.fullmatch(text.strip())
        if match is None:
            raise format_error(
                path, name, expected="times such as 01:30 or 1:01:30.5", got=repr(text)
            )
        hours, minutes, rest = match.groups()
        seconds[i] = int(hours or 0) * 3600 + int(minutes) * 60
        seconds[i] += float(rest.replace(",", "."))
    return seconds[column.codes]
