"""Reads and writes headers of streams, and places chunks on disk and in time.

The claims of a header are checked against the bytes on disk, and memory is allocated
only for rows that exist. In addition, the filler of gaps may take `MAX_GAP_BYTES` plus
`MAX_GAP_FACTOR` times the size of the data file. `to` is never read, since released
files hold wrong values.
"""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import quoteattr

import numpy as np

from damamba_jax.data.formats.headers import Fields, read_xml, warn_once
from damamba_jax.errors import format_error

MAX_DIM = 1 << 20
MAX_SAMPLE_RATE = 1e6
MAX_GAP_BYTES = 64 << 20
MAX_GAP_FACTOR = 10

_log = logging.getLogger(__name__)

# The header's `byte` gives the width of a type, since LONG, ULONG and LDOUBLE depend on
# the platform that wrote the file.
_TYPES = {
    "CHAR": "i",
    "UCHAR": "u",
    "SHORT": "i",
    "USHORT": "u",
    "INT": "i",
    "UINT": "u",
    "LONG": "i",
    "ULONG": "u",
    "FLOAT": "f",
    "DOUBLE": "f",
    "LDOUBLE": "f",
    "BOOL": "u",
}
# The names of types in headers that are written here.
TYPE_NAMES = {
    "i1": "CHAR",
    "u1": "UCHAR",
    "i2": "SHORT",
    "u2": "USHORT",
    "i4": "INT",
    "u4": "UINT",
    "i8": "LONG",
    "u8": "ULONG",
    "f4": "FLOAT",
    "f8": "DOUBLE",
    "b1": "BOOL",
}
_WIDTHS = {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}


@dataclasses.dataclass(frozen=True)
class Chunk:
    """One uninterrupted piece of a stream, as its header describes it.

    Args:
      start: seconds since the beginning of the recording (`from`).
      offset: position of its first sample in the data file, in bytes (`byte`).
      num: number of frames; `None` if the header does not give it.
    """

    start: float
    offset: int
    num: int | None


@dataclasses.dataclass(frozen=True)
class StreamHeader:
    """The contents of a `.stream` file, which describes the samples beside it.

    Args:
      path: the path of the header; the samples lie in `data_path`.
      ftype: how the samples are written.
      sample_rate: frames per second, Hz; 0 if the stream has no fixed rate.
      dim: number of columns.
      dtype: the type of the samples, little-endian.
      delim: separator of the columns of an ASCII row.
      chunks: chunks of the stream, at least one, in the order of the data file.
    """

    path: Path
    ftype: Literal["BINARY", "ASCII"]
    sample_rate: float
    dim: int
    dtype: np.dtype
    delim: str
    chunks: tuple[Chunk, ...]

    @property
    def data_path(self) -> Path:
        """File of the samples, which lies beside the header."""
        return self.path.with_name(self.path.name + "~")

    @property
    def has_gaps(self) -> bool:
        """Whether the time of a frame depends on more than its number."""
        return len(self.chunks) != 1 or self.chunks[0].start * self.sample_rate >= 0.5

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in memory."""
        return self.dim * self.dtype.itemsize

    @property
    def min_row_bytes(self) -> int:
        """The least number of bytes that one row takes on disk."""
        return self.row_bytes if self.ftype == "BINARY" else 2 * self.dim - 1


@dataclasses.dataclass(frozen=True)
class Placement:
    """The place of the rows of one chunk on disk and in time.

    Args:
      offset: position of the first row in the data file, in bytes.
      start: index of the first frame.
      num: number of rows that are read.
    """

    offset: int
    start: int
    num: int

    @property
    def stop(self) -> int:
        """Index of the frame after the last one."""
        return self.start + self.num


def read_header(path: str | os.PathLike) -> StreamHeader:
    """Reads a `.stream` header; the samples are not opened.

    Raises:
      DataFormatError: for a header that is malformed or not supported, such as one with
        `BIN_LZ4`, an `ssi-v` below 2, or a type that is not a number.
    """
    root = read_xml(path, "stream")
    info = root.child("info")
    if info is None:
        raise root.error("info", expected="one element", got="none")
    ftype = info.text("ftype").strip().upper()
    if ftype == "BIN_LZ4":
        raise info.error(
            "ftype",
            expected="BINARY or ASCII (SSI itself cannot read BIN_LZ4; save the "
            "stream again uncompressed)",
            got="BIN_LZ4",
        )
    if ftype not in ("BINARY", "ASCII"):
        raise info.error("ftype", expected="BINARY or ASCII", got=repr(ftype))
    return StreamHeader(
        path=Path(path),
        ftype=ftype,
        sample_rate=info.number("sr", low=0.0, high=MAX_SAMPLE_RATE),
        dim=info.integer("dim", low=1, high=MAX_DIM),
        dtype=_dtype(info),
        delim=_delim(info),
        chunks=_chunks(root),
    )


def place_chunks(
    header: StreamHeader,
    rows: Sequence[int],
    *,
    mode: Literal["place", "concatenate"],
) -> tuple[Placement, ...]:
    """Places chunks in time.

    A chunk gets `min(num, rows)` frames. Chunks without frames are left out.

    Args:
      header: the header of the stream.
      rows: number of rows that each chunk has on disk.
      mode: as in `ssi.read_stream`.

    Raises:
      DataFormatError: if the gaps would need more filler than allowed.
    """
    placements: list[Placement] = []
    end = 0
    for k, (chunk, found) in enumerate(zip(header.chunks, rows, strict=True)):
        num = found if chunk.num is None else min(chunk.num, found)
        if chunk.num is not None and chunk.num != found:
            warn_once(
                _log,
                f"{header.path}: chunk {k} claims num={chunk.num} frames, but the data "
                f"file holds {found}; {num} of them are read.",
            )
        if num == 0:
            continue
        start = end
        if mode == "place":
            wanted = round(chunk.start * header.sample_rate)
            if wanted < end - 1:
                warn_once(
                    _log,
                    f"{header.path}: chunk {k} should start at frame {wanted}, but the "
                    f"chunk before it ends at {end}; it is placed after that chunk.",
                )
            start = max(wanted, end)
        placements.append(Placement(chunk.offset, start, num))
        end = start + num
    filler = (end - sum(p.num for p in placements)) * header.row_bytes
    limit = MAX_GAP_BYTES + MAX_GAP_FACTOR * os.path.getsize(header.data_path)
    if filler > limit:
        raise format_error(
            header.path,
            "chunk.from",
            expected=f"gaps of at most {limit} bytes of filler (or "
            "mode='concatenate', which closes them)",
            got=f"{filler}",
        )
    return tuple(placements)


def find_regions(header: StreamHeader) -> list[tuple[int, int]]:
    """Finds the bytes `(begin, end)` of each chunk in the data file.

    Raises:
      DataFormatError: if the data file is missing, or if a chunk begins before the end
        of the first row of the chunk before it.
    """
    if not header.data_path.is_file():
        raise format_error(
            header.path, "data", expected=f"samples in {header.data_path}", got="none"
        )
    size = header.data_path.stat().st_size
    offsets = [chunk.offset for chunk in header.chunks]
    for k in range(1, len(offsets)):
        claimed = header.chunks[k - 1].num
        low = offsets[k - 1] + (header.min_row_bytes if claimed != 0 else 0)
        if offsets[k] < low:
            raise format_error(
                header.path,
                f"chunk[{k}].byte",
                expected=f"a position in the data file from {low} on",
                got=f"{offsets[k]}",
            )
    ends = [*offsets[1:], size]
    return [
        (min(begin, size), min(end, size))
        for begin, end in zip(offsets, ends, strict=True)
    ]


def rows_by_size(header: StreamHeader) -> list[int]:
    """Counts the rows of each chunk of a BINARY stream by its bytes.

    Raises:
      DataFormatError: if a chunk is not a whole number of rows.
    """
    regions = find_regions(header)
    for k, (begin, end) in enumerate(regions):
        if (end - begin) % header.row_bytes:
            raise format_error(
                header.path,
                f"chunk[{k}]",
                expected=f"whole rows of dim * byte = {header.dim} * "
                f"{header.dtype.itemsize} = {header.row_bytes} bytes in "
                f"{header.data_path.name}",
                got=f"{end - begin} bytes",
            )
    return [(end - begin) // header.row_bytes for begin, end in regions]


def header_text(
    dtype: np.dtype,
    dim: int,
    sample_rate: float,
    chunks: Sequence[tuple[int, int, int]],
    *,
    ftype: Literal["BINARY", "ASCII"] = "BINARY",
    delim: str = " ",
    notes: Mapping[str, str] | None = None,
) -> str:
    """Makes the text of a header.

    Args:
      dtype: the type of the samples, one of `TYPE_NAMES`.
      dim: number of columns.
      sample_rate: frames per second, Hz.
      chunks: for each chunk its first frame, its position in the data file in bytes,
        and its number of frames.
      ftype: how the samples are written.
      delim: separator of ASCII columns.
      notes: attributes of the element `meta`.
    """
    kind = f"{dtype.kind}{dtype.itemsize}"
    meta = "".join(f"{key}={quoteattr(text)} " for key, text in (notes or {}).items())
    lines = [
        '<?xml version="1.0" ?>',
        '<stream ssi-v="2">',
        f'    <info ftype="{ftype}" sr="{sample_rate:.6f}" dim="{dim}" '
        f'byte="{dtype.itemsize}" type="{TYPE_NAMES[kind]}" '
        f"delim={quoteattr(delim)} />",
        f"    <meta {meta}/>",
    ]
    for start, offset, num in chunks:
        begin, end = (t / (sample_rate or 1.0) for t in (start, start + num))
        lines.append(
            f'    <chunk from="{begin:.6f}" to="{end:.6f}" byte="{offset}" '
            f'num="{num}"/>'
        )
    return "\n".join([*lines, "</stream>", ""])


def _dtype(info: Fields) -> np.dtype:
    name = info.text("type").strip().upper()
    if name not in _TYPES:
        raise info.error("type", expected=f"one of {', '.join(_TYPES)}", got=repr(name))
    kind = _TYPES[name]
    width = info.integer("byte", low=1, high=1 << 20)
    if width not in _WIDTHS[kind]:
        raise info.error(
            "byte", expected=f"one of {_WIDTHS[kind]} for {name}", got=f"{width}"
        )
    return np.dtype(f"<{kind}{width}")


def _delim(info: Fields) -> str:
    delim = info.text("delim", " ") or " "
    if len(delim) > 8 or any(c.isalnum() or c in "+-." for c in delim):
        raise info.error(
            "delim", expected="a separator that no number contains", got=repr(delim)
        )
    return delim


def _chunks(root: Fields) -> tuple[Chunk, ...]:
    elements = root.children("chunk")
    if not elements:
        raise root.error("chunk", expected="at least one element", got="none")
    chunks = []
    for element in elements:
        num = None
        if element.text("num", "").strip() not in ("", "None"):
            num = element.integer("num", low=0, high=2**63 - 1)
        # A recorder that stopped before it completed its header leaves 0 there.
        if num == 0 and len(elements) == 1:
            num = None
        offset = 0
        if len(elements) > 1 or "byte" in element.element.keys():
            offset = element.integer("byte", low=0, high=2**63 - 1)
        start = element.number("from", low=-1e12, high=1e12, default=0.0)
        chunks.append(Chunk(start=start, offset=offset, num=num))
    return tuple(chunks)
