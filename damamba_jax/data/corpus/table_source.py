"""Reads one feature of one person from tables, as a stream at one rate.

The times are read first, without the values, so that the memory needed depends on the
number of frames. The values then go block by block into the binary cache, which is
mapped into memory.
"""

import dataclasses
import functools
import hashlib
import logging
import operator
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Bool, Int
from damamba_jax.config.layout import TableConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.patterns import Match
from damamba_jax.data.corpus.rates import check_length, check_rate
from damamba_jax.data.corpus.table_rows import (
    Span,
    key_columns,
    open_with,
    read_rows,
)
from damamba_jax.data.formats.binary_cache import cached_array
from damamba_jax.data.formats.placing import Samples, place_samples, steady_rate
from damamba_jax.data.formats.presets import with_preset
from damamba_jax.data.formats.ssi import Stream
from damamba_jax.data.formats.tables import Table, Texts, find_columns
from damamba_jax.errors import ConfigError, format_error
from damamba_jax.files import keep_file, read_kept

_log = logging.getLogger(__name__)

# This is part of every cache key. Raise it when the contents of a copy change.
_VERSION = 3
# A file that says where the frames come from. It is kept until the values are in the
# cache.
_PLACES = ".places"
_CONDITION = re.compile(r"\s*(.+?)\s*(>=|<=|==|!=|>|<)\s*([-+.\deE]+)\s*")
_COMPARISONS: dict[str, Callable] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


class Placed(NamedTuple):
    """The places that the frames of a stream come from.

    Attributes:
      rate: frames per second, Hz.
      samples: rows of the tables.
      frames: for each frame the index of its sample, or -1 if it has none.
      columns: names of the columns that were taken.
    """

    rate: float
    samples: Samples
    frames: Int[np.ndarray, "T"]
    columns: tuple[str, ...]

    def rows(self) -> Int[np.ndarray, "2 T"]:
        """Returns the piece and the row of each frame, -1 where there is none."""
        found = np.full((2, len(self.frames)), -1, self.samples.row.dtype)
        there = self.frames >= 0
        sample = self.frames[there]
        found[0, there] = self.samples.piece[sample]
        found[1, there] = self.samples.row[sample]
        return found


class Summary(NamedTuple):
    """A stream without its values.

    Attributes:
      rate: frames per second, Hz.
      valid: whether each frame was recorded.
      columns: names of the columns that were taken.
    """

    rate: float
    valid: Bool[np.ndarray, "T"]
    columns: tuple[str, ...]


def _read_summary(path: Path) -> Summary:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as kept:
        columns = tuple(kept["columns"].tolist())
        return Summary(float(kept["rate"]), kept["valid"], columns)


def _small(rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Stores numbers of rows in four bytes each, unless a number is too large."""
    return rows if rows.size and rows[-1] >= 2**31 else rows.astype(np.int32)


def _map_rows(path: Path) -> np.ndarray:
    return np.load(path, "r", allow_pickle=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableSource:
    """The tables of one feature of one person.

    Args:
      feature: the feature, whose `table` is set.
      pieces: files of the feature, at least one.
      fields: known fields of patterns: split, session and role.
      turns: start and end of each turn, by its name in lower case.
    """

    feature: FeatureConfig
    pieces: tuple[Match, ...]
    fields: Mapping[str, str]
    turns: Mapping[str, Span]

    @property
    def table(self) -> TableConfig:
        """The settings for reading the tables, including those of the preset."""
        assert self.feature.table is not None, "`feature.table` is given"
        return with_preset(self.feature.table)

    def place(self) -> Placed:
        """Finds rate and frames of the stream from the times of its rows.

        Raises:
          DataFormatError: for a malformed table, a wrong number of columns, times that
            are too far apart, or a rate that is not possible.
          ConfigError: if nothing says when the rows of a turn were recorded.
        """
        parts, columns, known = [], (), {}
        for index, piece in enumerate(self.pieces):
            table = open_with(piece.path, self.table)
            if table.names not in known:
                known[table.names] = self._columns(table)
            columns = known[table.names]
            time, until, row = self._times(table, piece, columns[0])
            piece_index = np.broadcast_to(np.int32(index), len(time))
            parts.append(Samples(time, until, piece_index, row))
        samples = parts[0]
        if len(parts) > 1:
            samples = Samples(*(np.concatenate(p) for p in zip(*parts, strict=True)))
        rate = self.feature.rate
        if self.table.time and not self.table.hold:
            rate = steady_rate(samples, rate)
            nominal, path = self.feature.rate, self.pieces[0].path
            check_rate(path, rate, nominal=nominal, name=self.feature.name)
        frames = place_samples(
            self.pieces[0].path,
            samples,
            rate,
            row_bytes=4 * self.feature.dim,
            hold=self.table.hold,
        )
        return Placed(rate, samples, frames, columns)

    def summarize(self, cache_dir: str | os.PathLike | None) -> Summary:
        """Returns the stream without its values; `cache_dir`, if given, keeps them.

        Raises:
          DataFormatError: as `place`.
        """
        path = Path(cache_dir or "") / "tables" / f"{self._key()}.npz"
        if cache_dir and (kept := read_kept(path, _read_summary, _log)) is not None:
            return kept
        placed = self.place()
        found = Summary(placed.rate, placed.frames >= 0, placed.columns)
        if cache_dir:
            places = path.with_suffix(_PLACES)
            keep_file(places, lambda file: np.save(file, placed.rows()), _log)
            keep_file(path, lambda file: np.savez(file, **found._asdict()), _log)
        return found

    def _rows(self, cache_dir: str | os.PathLike | None) -> tuple[np.ndarray, tuple]:
        """Returns piece and row of each frame, -1 where there is none, and columns."""
        if cache_dir:
            path = Path(cache_dir) / "tables" / f"{self._key()}.npz"
            found = read_kept(path, _read_summary, _log)
            rows = read_kept(path.with_suffix(_PLACES), _map_rows, _log)
            if found is not None and rows is not None:
                return rows, found.columns
        placed = self.place()
        return placed.rows(), placed.columns

    def open(self, cache_dir: str | os.PathLike | None) -> Stream:
        """Opens the stream: float32 `[frames, feature.dim]`, read-only.

        Args:
          cache_dir: the folder that keeps the frames in binary form; without it they
            are read into memory.

        Raises:
          DataFormatError: as `place`, and for a value that is no number.
        """
        found = self.summarize(cache_dir)
        shape = (len(found.valid), self.feature.dim)
        data = self._mapped(found)
        if data is None and cache_dir is None:
            data = np.empty(shape, np.float32)
            self._fill(data, None)
            data.flags.writeable = False
        elif data is None:
            path = Path(cache_dir or "") / "tables" / f"{self._key()}.npy"
            fill = functools.partial(self._fill, cache_dir=cache_dir)
            data = cached_array(path, shape, np.dtype("<f4"), fill)
            # The file of places is not needed again.
            path.with_suffix(_PLACES).unlink(missing_ok=True)
        found.valid.flags.writeable = False
        return Stream(data, found.rate, None if found.valid.all() else found.valid)

    def _columns(self, table: Table) -> tuple[str, ...]:
        used = [*key_columns(self.table), self.table.time, *self._conditions()]
        columns = find_columns(table, self.table.columns, without=used)
        if len(columns) != self.feature.dim:
            raise format_error(
                table.path,
                "columns",
                expected=f"{self.feature.dim} (`features.{self.feature.name}.dim`)",
                got=f"{len(columns)}: {', '.join(columns)}",
            )
        return columns

    def _conditions(self) -> dict[str, list[tuple[str, float]]]:
        """Returns, for each column, the comparisons that a row must pass."""
        found: dict[str, list[tuple[str, float]]] = {}
        for text in self.table.valid:
            match = _CONDITION.fullmatch(text)
            try:
                column, sign, number = match.groups() if match else ("", "", "")
                found.setdefault(column, []).append((sign, float(number)))
            except ValueError as error:
                raise ConfigError(
                    f"`features.{self.feature.name}.table.valid`: expected conditions "
                    f"such as `confidence>=0.8`, got {text!r}."
                ) from error
        return found

    def _times(
        self, table: Table, piece: Match, column: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the times of the rows that count, the ends of their turns, and rows.

        Args:
          table: the open table.
          piece: the file of the table.
          column: any column of values, which tells how many rows there are.
        """
        config, conditions = self.table, self._conditions()
        times, ends, kept = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, np.int32)]
        count: dict[str, int] = {}
        total = 0
        for rows in read_rows(
            table,
            config,
            {**piece.fields, **self.fields},
            times=[config.time] if config.time else [],
            numbers=[*conditions, column],
            nominal_rate=self.feature.rate,
        ):
            first = 1 if config.time else 0
            time = rows.numbers[:, 0] if config.time else np.full(len(rows.row), 0.0)
            good = np.isfinite(time)
            for i, tests in enumerate(conditions.values()):
                values = rows.numbers[:, first + i]
                for sign, number in tests:
                    good &= _COMPARISONS[sign](values, number)
            named = Texts(np.zeros(len(time), int), [piece.fields.get("turn", "")])
            turn = rows.fields.get("turn", named)
            time, end = self._shift(time, turn, count, piece)
            inside = good & np.isfinite(time)
            number = int(np.count_nonzero(inside))
            total += number
            check_length(piece.path, total, self.feature.rate)
            times.append(time[inside])
            # Without turns there are no ends: one infinite number stands for all.
            endless = not np.isfinite(end).any()
            ends.append(np.broadcast_to(np.inf, number) if endless else end[inside])
            kept.append(_small(rows.row[inside]))
        time = np.concatenate(times)
        if config.time and config.time_zero == "first" and len(time):
            time = time - time.min()
        if not any(np.isfinite(end).any() for end in ends):
            return time, np.broadcast_to(np.inf, len(time)), np.concatenate(kept)
        return time, np.concatenate(ends), np.concatenate(kept)

    def _shift(
        self, time: np.ndarray, turn: Texts, count: dict[str, int], piece: Match
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moves times to the turns of their rows.

        Rows without times follow each other within a turn at the rate of the feature.

        Returns:
          The times, which are NaN outside of the turn, and the ends of the turns.
        """
        config, time = self.table, time.copy()
        for code, name in enumerate(turn.values if not config.time else ()):
            here = np.flatnonzero(turn.codes == code)
            first = count.get(name, 0)
            time[here] = (first + np.arange(len(here))) / self.feature.rate
            count[name] = first + len(here)
        if "frame" in piece.fields and not config.time:
            rate = config.frame_rate or self.feature.rate
            time = np.full(len(time), int(piece.fields["frame"]) / rate)
        known = any(turn.values)
        if not known or (config.time and config.time_zero == "recording"):
            return time, np.broadcast_to(np.inf, len(time))
        if not self.turns:
            raise ConfigError(
                f"`features.{self.feature.name}.table`: {piece.path} belongs to a "
                "turn; set `time` with `time_zero='recording'`, or `data.layout.turns`."
            )
        nowhere = Span(np.nan, np.nan)
        spans = [self.turns.get(n.casefold(), nowhere)[:2] for n in turn.values]
        start, end = np.array(spans, np.float64).reshape(-1, 2)[turn.codes].T
        # Rows after the end of a turn belong to the next turn.
        return np.where(start + time < end, start + time, np.nan), end

    def _mapped(self, found: Summary) -> np.ndarray | None:
        """Maps an npy file into memory if its rows are the frames just as they are."""
        piece = self.pieces[0]
        plain = not (self.table.rows or self.table.time or piece.fields.get("turn"))
        if len(self.pieces) > 1 or piece.path.suffix.lower() != ".npy" or not plain:
            return None
        array = np.load(piece.path, mmap_mode="r", allow_pickle=False)
        whole = array.ndim == 2 and found.columns == tuple(
            map(str, range(array.shape[1]))
        )
        whole = whole and len(array) == len(found.valid) and array.flags.c_contiguous
        return array if whole and array.dtype in ("<f4", "<f8") else None

    def _fill(self, data: np.ndarray, cache_dir: str | os.PathLike | None) -> None:
        """Writes the values of every frame into `data`, `[T, dim]`."""
        rows, columns = self._rows(cache_dir)
        data[:] = np.nan
        for index, piece in enumerate(self.pieces):
            frames = np.flatnonzero(rows[0] == index)
            row = rows[1][frames]
            if (np.diff(row) < 0).any():
                order = np.argsort(row, kind="stable")
                frames, row = frames[order], row[order]
            first = 0
            for values in self._values(piece, columns):
                lo, hi = np.searchsorted(row, [first, first + len(values)])
                # A number that is too large for float32 becomes inf, which is missing.
                with np.errstate(over="ignore"):
                    data[frames[lo:hi]] = values[row[lo:hi] - first]
                first += len(values)

    def _values(self, piece: Match, columns: Sequence[str]) -> Iterator[np.ndarray]:
        table = open_with(piece.path, self.table)
        for block in table.blocks(columns):
            yield block.numbers

    def _key(self) -> str:
        parts: list = [_VERSION, self.table, self.feature.rate, self.feature.dim]
        parts += [sorted(self.fields.items()), sorted(self.turns.items())]
        for piece in self.pieces:
            status = piece.path.stat()
            parts += [piece.path.resolve(), status.st_size, status.st_mtime_ns]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
