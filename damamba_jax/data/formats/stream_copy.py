"""Copies of streams that cannot be mapped from disk: those in ASCII or with gaps.

A copy goes into memory or, with a cache folder, into an `.npy` file that is then
memory-mapped. The file is filled block by block, so that resident memory stays constant
however long a recording is.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from damamba_jax.data.formats.binary_cache import cached_array
from damamba_jax.data.formats.headers import MAX_NUMBER_CHARS, Numbers
from damamba_jax.data.formats.stream_header import Placement, StreamHeader, find_regions
from damamba_jax.errors import format_error

_BLOCK_BYTES = 1 << 22
# This is part of every cache key. Raise it when the contents of a copy change.
_VERSION = 1


def count_rows(header: StreamHeader) -> list[int]:
    """Counts the lines of each chunk of an ASCII stream, without blank lines.

    Raises:
      DataFormatError: if a chunk does not begin with a line, or if its lines are too
        short or too long for `dim` columns.
    """
    regions = find_regions(header)
    _check_begins(header, [begin for begin, end in regions if 0 < begin < end])
    counts = []
    for k, (begin, end) in enumerate(regions):
        num = sum(1 for _ in _read_lines(header, begin, end))
        if num * header.min_row_bytes > end - begin:
            raise format_error(
                header.path,
                "info.dim",
                expected=f"{header.dim} columns in each of {num} lines of chunk {k}",
                got=f"{end - begin} bytes, too few for that",
            )
        counts.append(num)
    return counts


def copy(
    header: StreamHeader,
    placements: Sequence[Placement],
    *,
    cache_dir: str | os.PathLike | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Copies rows to their places in time.

    Returns:
      The samples `[T, dim]`, and a mask `[T]` that is False in gaps. The mask is `None`
      if there are no gaps.
    """
    num_frames = placements[-1].stop
    has_gaps = sum(p.num for p in placements) < num_frames
    if cache_dir is None:
        data = np.empty((num_frames, header.dim), header.dtype)
        _fill(header, placements, data)
    else:
        data = cached_array(
            Path(cache_dir) / "streams" / f"{_cache_key(header, placements)}.npy",
            (num_frames, header.dim),
            header.dtype,
            lambda data: _fill(header, placements, data),
        )
    if not has_gaps:
        return data, None
    valid = np.zeros(num_frames, bool)
    for place in placements:
        valid[place.start : place.stop] = True
    return data, valid


def _cache_key(header: StreamHeader, placements: Sequence[Placement]) -> str:
    parts = [_VERSION, header.dtype.str, header.dim, header.delim, list(placements)]
    for path in (header.path, header.data_path):
        status = path.stat()
        parts += [path.resolve(), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _fill(
    header: StreamHeader, placements: Sequence[Placement], data: np.ndarray
) -> None:
    """Writes the rows into `data`, `[T, dim]`, with filler in the gaps between them."""
    end = 0
    for place in placements:
        # Integers have no NaN, so that only the mask marks their gaps.
        data[end : place.start] = np.nan if data.dtype.kind == "f" else 0
        _fill_chunk(header, place, data[place.start : place.stop])
        end = place.stop


def _fill_chunk(header: StreamHeader, place: Placement, data: np.ndarray) -> None:
    if header.ftype == "BINARY":
        step = max(1, _BLOCK_BYTES // header.row_bytes)
        with open(header.data_path, "rb") as file:
            file.seek(place.offset)
            for row in range(0, place.num, step):
                rows = data[row : row + step]
                block = np.fromfile(file, header.dtype, rows.size)
                if block.size != rows.size:
                    raise format_error(
                        header.path,
                        "data",
                        expected=f"{place.num} rows from byte {place.offset}",
                        got="a file that became shorter while it was read",
                    )
                rows[:] = block.reshape(rows.shape)
        return
    lines = _read_lines(header, place.offset, header.data_path.stat().st_size)
    numbers = Numbers()
    for row in range(place.num):
        number, line = next(lines)
        where = f"line {number} after byte {place.offset}"
        data[row] = _parse_row(header, line, where, numbers)


def _check_begins(header: StreamHeader, begins: Sequence[int]) -> None:
    with open(header.data_path, "rb") as file:
        for begin in begins:
            file.seek(begin - 1)
            if file.read(1) != b"\n":
                raise format_error(
                    header.path,
                    "chunk.byte",
                    expected="the beginning of a line (were the line ends converted?)",
                    got=f"{begin}",
                )


def _read_lines(
    header: StreamHeader, begin: int, end: int
) -> Iterator[tuple[int, bytes]]:
    """Yields `(number, line)` of the lines that are not blank, without line ends.

    Numbers count all lines of the chunk, from 1 on.

    Raises:
      DataFormatError: if a line is longer than `dim` numbers can be.
    """
    limit = header.dim * (MAX_NUMBER_CHARS + len(header.delim) + 1) + 64
    with open(header.data_path, "rb") as file:
        file.seek(begin)
        number = 0
        while begin < end and (line := file.readline(min(limit, end - begin))):
            begin += len(line)
            number += 1
            if len(line) == limit:
                raise format_error(
                    header.data_path,
                    f"line {number}",
                    expected=f"{header.dim} columns in fewer than {limit} bytes",
                    got="more",
                )
            if line := line.strip():
                yield number, line


def _parse_row(
    header: StreamHeader, line: bytes, where: str, numbers: Numbers
) -> np.ndarray:
    text = line.decode("latin-1")
    delim = header.delim.strip()
    tokens = text.split(delim or None)
    if delim and len(tokens) > header.dim and not tokens[-1].strip():
        tokens.pop()
    if len(tokens) != header.dim:
        raise format_error(
            header.data_path,
            where,
            expected=f"{header.dim} columns",
            got=f"{len(tokens)}: {text[:60]!r}",
        )
    try:
        if "_" in text:
            raise ValueError("a number must not contain an underscore")
        if header.dtype.kind != "f":
            return np.array([int(token) for token in tokens], header.dtype)
        try:
            values = [float(token) for token in tokens]
        except ValueError:
            values = [numbers(token) for token in tokens]
        else:
            if "." in text:
                numbers.see(".", text)
        with np.errstate(over="ignore"):
            return np.array(values).astype(header.dtype)
    except (ValueError, OverflowError) as error:
        raise format_error(
            header.data_path,
            where,
            expected=f"{header.dtype.name} numbers",
            got=f"{text[:60]!r} ({error})",
        ) from error
