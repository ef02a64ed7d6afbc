"""Streams of the Social Signal Interpretation framework, and label files in csv form.

A stream is an XML header `X.stream` and its samples in `X.stream~`: row-major
`[T, dim]`, little-endian for `BINARY`, one line per row for `ASCII`. A recording that
was interrupted has several chunks. The data file holds nothing for the time between
them. Each chunk is therefore placed at `round(from * sr)`, and the gap is masked.

`stream_header.py` reads headers and limits what they may claim. `annotations.py` reads
the annotations of NOVA.
"""

import codecs
import dataclasses
import itertools
import logging
import os
import re
from pathlib import Path
from typing import Literal

import numpy as np

from damamba_jax.array_types import Bool, Float
from damamba_jax.data.formats import stream_copy
from damamba_jax.data.formats.headers import (
    MixedDecimalsError,
    Numbers,
    decode_text,
    read_bounded,
    warn_once,
)
from damamba_jax.data.formats.stream_header import (
    MAX_SAMPLE_RATE,
    TYPE_NAMES,
    Placement,
    StreamHeader,
    header_text,
    place_chunks,
    read_header,
    rows_by_size,
)
from damamba_jax.errors import format_error
from damamba_jax.files import replace_file

_log = logging.getLogger(__name__)

_BLOCK_ROWS = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """Samples of one stream, read-only.

    Args:
      data: `[T, dim]` in the type of the file. It is a memory map, unless the samples
        had to be rearranged and no `cache_dir` was given. Gaps hold NaN, or 0 for
        integers.
      sample_rate: frames per second, Hz.
      valid: `[T]`, False inside gaps; `None` if every row was recorded.
    """

    data: np.ndarray
    sample_rate: float
    valid: Bool[np.ndarray, "T"] | None

    @property
    def num_frames(self) -> int:
        """Number of rows of the stream."""
        return self.data.shape[0]

    @property
    def dim(self) -> int:
        """Number of columns of the stream."""
        return self.data.shape[1]


def read_stream(
    path: str | os.PathLike,
    *,
    mode: Literal["place", "concatenate"] = "place",
    cache_dir: str | os.PathLike | None = None,
) -> Stream:
    """Opens a stream; `BINARY` samples without gaps are memory-mapped.

    Each chunk has `min(num, rows on disk)` frames. If the two numbers differ, this is
    logged once.

    Args:
      path: the path of the header.
      mode: `"place"` puts each chunk at `round(from * sr)`, never before the end of
        the previous one, and masks the gaps; `"concatenate"` closes the gaps, as the
        other Python readers and NOVA do.
      cache_dir: folder for binary copies of ASCII streams and of streams with gaps.
        Each is copied once and then memory-mapped like the others. Without the folder
        they are read into memory.

    Raises:
      ValueError: for an unknown `mode`.
      DataFormatError: for a malformed header, samples that do not fit it (not a whole
        number of rows, or a wrong number of columns), a missing data file, or gaps that
        would take more filler than allowed.
    """
    if mode not in ("place", "concatenate"):
        raise ValueError(
            f"`mode`: expected 'place' or 'concatenate', got {mode!r}. Use 'place' "
            "to keep the time axis of interrupted recordings."
        )
    header = read_header(path)
    rate = header.sample_rate
    placements = _place(header, mode)
    if not placements:
        return Stream(_frozen(np.empty((0, header.dim), header.dtype)), rate, None)
    if header.ftype == "BINARY" and _is_one_slice(placements, header.row_bytes):
        data = np.memmap(
            header.data_path,
            header.dtype,
            "r",
            offset=placements[0].offset,
            shape=(placements[-1].stop, header.dim),
        )
        return Stream(data, rate, None)
    data, valid = stream_copy.copy(header, placements, cache_dir=cache_dir)
    return Stream(_frozen(data), rate, None if valid is None else _frozen(valid))


def count_frames(header: StreamHeader) -> int:
    """Counts the frames that `read_stream` returns, including those in gaps.

    For a BINARY stream the size of the file is enough. An ASCII file is read once to
    count its lines.

    Raises:
      DataFormatError: as `read_stream`.
    """
    placements = _place(header, "place")
    return placements[-1].stop if placements else 0


def write_stream(
    path: str | os.PathLike,
    data: np.ndarray,
    sample_rate: float,
    *,
    valid: Bool[np.ndarray, "T"] | None = None,
    ftype: Literal["BINARY", "ASCII"] = "BINARY",
    delim: str = " ",
) -> None:
    """Writes a stream: first all samples at once, then the header.

    Args:
      path: the path of the header; the samples go to `path~`.
      data: `[T, dim]`, float32, float64, bool or an integer type.
      sample_rate: frames per second, Hz.
      valid: which rows are written. Rows where it is False are left out, and each run
        of the other rows becomes a chunk at its own time. `None` writes all rows.
      ftype: how the samples are written; `"ASCII"` keeps only six decimals.
      delim: separator of ASCII columns.

    Raises:
      ValueError: for data of another rank or type, an unknown `ftype`, a rate out of
        range, or a `valid` of another length.
    """
    kind = f"{data.dtype.kind}{data.dtype.itemsize}"
    if data.ndim != 2 or kind not in TYPE_NAMES or data.shape[1] == 0:
        raise ValueError(
            f"`data`: expected [T, dim] with dim > 0 of a type in "
            f"{', '.join(TYPE_NAMES)}, got {data.dtype} {list(data.shape)}. Convert "
            "it with `np.asarray(data, np.float32)`."
        )
    if ftype not in ("BINARY", "ASCII"):
        raise ValueError(f"`ftype`: expected 'BINARY' or 'ASCII', got {ftype!r}.")
    if not 0 <= sample_rate <= MAX_SAMPLE_RATE:
        raise ValueError(
            f"`sample_rate`: expected [0, {MAX_SAMPLE_RATE:g}] Hz, got {sample_rate}."
        )
    if valid is not None and valid.shape != data.shape[:1]:
        raise ValueError(
            f"`valid`: expected [{data.shape[0]}], one entry per row of `data`, got "
            f"{list(valid.shape)}."
        )
    path = Path(path)
    chunks = []
    with replace_file(path.with_name(path.name + "~")) as file:
        for start, stop in _runs(data.shape[0], valid):
            chunks.append((start, file.tell(), stop - start))
            for row in range(start, stop, _BLOCK_ROWS):
                block = data[row : min(row + _BLOCK_ROWS, stop)]
                file.write(_encode(block, ftype, delim))
    with replace_file(path) as file:
        text = header_text(
            data.dtype, data.shape[1], sample_rate, chunks, ftype=ftype, delim=delim
        )
        file.write(text.encode())


# Lines that are blank or hold `nan` or a number without a decimal comma.
_PLAIN_LABELS = re.compile(
    r"((?:[+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,3})?|nan|)\r?\n)*+",
    re.ASCII,
)


def read_labels(path: str | os.PathLike) -> Float[np.ndarray, "Tl"]:
    """Reads a label csv with one value per line; line `i` is frame `i`.

    Blank lines, `nan`, `-nan(ind)` and lines that are not a finite number become NaN,
    as in the organisers' loader, but keep their frame. A file that is not UTF-8 is read
    as Latin-1.

    Returns:
      float64 `[Tl]`, NaN where nothing was annotated.

    Raises:
      DataFormatError: if the file is larger than `MAX_LABEL_BYTES`, if it holds text
        but no number, or if some numbers have a decimal point and others a comma.
    """
    text = decode_text(read_bounded(path))
    lines = _split_lines(text)
    if _PLAIN_LABELS.fullmatch(text):
        # Nearly all files are read here. The checks below take a hundred times as long.
        plain = np.array([float(line.strip() or "nan") for line in lines])
        return np.where(np.isinf(plain), np.nan, plain)
    values, numbers = np.full(len(lines), np.nan), Numbers()
    refused = []
    for i, line in enumerate(lines):
        line = line.strip()
        if not line:
            continue
        try:
            values[i] = numbers(line)
        except MixedDecimalsError as error:
            raise format_error(
                path, f"line {i + 1}", expected="one decimal sign", got=f"{error}"
            ) from error
        except ValueError:
            refused.append(i)
    if refused and np.isnan(values).all():
        raise format_error(
            path,
            f"line {refused[0] + 1}",
            expected="one number per line",
            got=repr(lines[refused[0]][:40]),
        )
    if refused:
        warn_once(
            _log,
            f"{os.fspath(path)}: {len(refused)} of {len(lines)} lines are no numbers "
            f"(the first is line {refused[0] + 1}) and count as not annotated.",
        )
    values[np.isinf(values)] = np.nan
    return values


def read_label_lines(path: str | os.PathLike) -> list[str]:
    """Reads the lines of a label csv as they are; line `i` is frame `i`.

    Raises:
      DataFormatError: for a file beyond `MAX_LABEL_BYTES`.
    """
    return _split_lines(decode_text(read_bounded(path)))


def _split_lines(text: str) -> list[str]:
    lines = text.split("\n" if "\n" in text else "\r")
    if not lines[-1].strip("\r"):
        lines.pop()
    return lines


def count_labels(path: str | os.PathLike) -> int:
    """Counts the frames of a label csv without reading their values.

    Raises:
      DataFormatError: for a file beyond `MAX_LABEL_BYTES`.
    """
    raw = read_bounded(path).removeprefix(codecs.BOM_UTF8)
    end = b"\n" if b"\n" in raw else b"\r"
    return raw.count(end) + bool(raw[raw.rfind(end) + 1 :].strip(b"\r"))


def write_labels(path: str | os.PathLike, values: Float[np.ndarray, "Tl"]) -> None:
    """Writes a label csv: one value per line with six decimals, `nan` where missing."""
    with replace_file(path) as file:
        file.write("".join(f"{value:.6f}\n" for value in values.tolist()).encode())


def _place(
    header: StreamHeader, mode: Literal["place", "concatenate"]
) -> tuple[Placement, ...]:
    if header.ftype == "BINARY":
        rows = rows_by_size(header)
    else:
        rows = stream_copy.count_rows(header)
    return place_chunks(header, rows, mode=mode)


def _is_one_slice(placements: tuple[Placement, ...], row_bytes: int) -> bool:
    """Says whether the rows lie on disk exactly as they lie in time."""
    first = placements[0]
    return (
        first.start == 0
        and all(p.offset == first.offset + p.start * row_bytes for p in placements)
        and all(a.stop == b.start for a, b in itertools.pairwise(placements))
    )


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _runs(num: int, valid: np.ndarray | None) -> list[tuple[int, int]]:
    """Finds the runs `(start, stop)` of valid rows; there is at least an empty one."""
    if valid is None:
        return [(0, num)]
    edges = np.flatnonzero(np.diff(np.pad(valid.astype(np.int8), 1)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)] or [(0, 0)]


def _encode(block: np.ndarray, ftype: str, delim: str) -> bytes:
    if ftype == "BINARY":
        return block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes()
    form = "{:.6f}" if block.dtype.kind == "f" else "{:d}"
    return "".join(
        delim.join(map(form.format, row)) + "\n" for row in block.tolist()
    ).encode()
