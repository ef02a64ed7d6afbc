"""Reads headers and some rows of files, to find out what the files hold.

Only a limited part of a file is read. Of a large text the first rows, and some rows
from the middle and the end, are copied, and the copy is read in place of the file.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from damamba_jax.data.formats import elan, stream_header, suffixes
from damamba_jax.data.formats.headers import decode_text, number_or_none, read_xml
from damamba_jax.data.formats.open_table import open_table
from damamba_jax.data.formats.tables import Table
from damamba_jax.errors import DataFormatError

# A text of at most `_WHOLE_BYTES` is read as a whole. Of a larger one the start and
# some later places are read.
_WHOLE_BYTES = 1 << 20
_START_BYTES = 1 << 18
_PLACE_BYTES = 1 << 16
_PLACES = 3
_MAX_ROWS = 1 << 14
_MAX_COUNTED = 1 << 22
_MAX_TEXTS = 1 << 18
_MAX_COLUMNS = 1 << 12
_MAX_EAF_BYTES = 1 << 23
_MAX_NPZ_BYTES = 1 << 26


class Content(NamedTuple):
    """The contents of a file, as far as a part of it shows them.

    Attributes:
      kind: `stream`, `table`, `lines`, `nova`, `eaf` or `openpose`.
      columns: names of the columns of a table, or of the tiers of an ELAN file.
      rows: number of rows of a table or of frames of a stream; estimated for long text.
      rate: rate in the header, Hz; 0 without a header.
      dim: number of columns of a stream.
      numbers: values of the columns that hold numbers, from some of the rows.
      texts: values of the other columns, from some of the rows.
      seconds: end of the last annotation, s; 0 if it is unknown.
      lengths: number of rows of each array of an npz file.
      limits: lowest and highest value that a header allows, if it gives them.
    """

    kind: str
    columns: tuple[str, ...] = ()
    rows: int = 0
    rate: float = 0.0
    dim: int = 0
    numbers: Mapping[str, np.ndarray] = {}
    texts: Mapping[str, tuple[str, ...]] = {}
    seconds: float = 0.0
    lengths: Mapping[str, int] = {}
    limits: tuple[float, float] | None = None

    @property
    def schema(self) -> tuple:
        """Properties that all files of the same feature have in common."""
        columns = self.columns if self.kind == "table" else ()
        return self.kind, columns, self.dim


def read_content(path: Path) -> Content | None:
    """Reads a part of a file.

    Returns:
      The contents, or `None` if the file cannot be used.

    Raises:
      DataFormatError: for a malformed file.
      OSError: if the file cannot be read.
    """
    name = path.name.lower()
    if name.endswith(suffixes.STREAM):
        return _read_stream(path)
    if name.endswith(suffixes.ANNOTATION):
        return _read_nova(path)
    if name.endswith(suffixes.ELAN):
        return _read_eaf(path)
    if name.endswith(suffixes.KEYPOINTS):
        return Content("openpose")
    if name.endswith(suffixes.TEXTS):
        return _read_text(path)
    if name.endswith((*suffixes.ARRAYS, *suffixes.PARQUETS)):
        return _read_arrays(path)
    return None


def _read_stream(path: Path) -> Content:
    header = stream_header.read_header(path)
    # The rows of a binary stream follow from its size. Those of a text are not counted,
    # since the whole text would have to be read.
    rows = 0
    if header.ftype == "BINARY" and header.data_path.is_file():
        rows = header.data_path.stat().st_size // header.row_bytes
    return Content("stream", rows=rows, rate=header.sample_rate, dim=header.dim)


def _read_nova(path: Path) -> Content | None:
    scheme = read_xml(path, "annotation").child("scheme")
    if scheme is None:
        return None
    kind = scheme.text("type", "").strip().upper()
    if kind == "CONTINUOUS":
        low = scheme.number("min", low=-1e30, high=1e30)
        high = scheme.number("max", low=-1e30, high=1e30)
        rate = scheme.number("sr", low=1e-6, high=1e6)
        return Content("nova", rate=rate, limits=(low, high) if low < high else None)
    names = [item.text("name", "") for item in scheme.children("item")]
    values = [v for v in map(number_or_none, names) if v is not None]
    # Classes whose names are words are not ratings, but free text may hold numbers.
    if kind == "DISCRETE" and not values:
        return None
    limits = (min(values), max(values)) if len(set(values)) > 1 else None
    return Content("nova", limits=limits)


def _read_eaf(path: Path) -> Content | None:
    if path.stat().st_size > _MAX_EAF_BYTES:
        return None
    texts: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, np.ndarray] = {}
    seconds = 0.0
    for name, intervals in elan.read_tiers(path).items():
        texts[name] = tuple(i.text for i in intervals)
        values = [
            v for v in (number_or_none(i.text) for i in intervals) if v is not None
        ]
        if values:
            numbers[name] = np.array(values)
        seconds = max([seconds, *(i.end for i in intervals)])
    return Content(
        "eaf", columns=tuple(texts), numbers=numbers, texts=texts, seconds=seconds
    )


def _read_text(path: Path) -> Content | None:
    """Reads plain lines of numbers, or a part of a table."""
    part, share = _cut(path)
    lines = decode_text(part).splitlines()
    filled = [line for line in lines if line.strip()]
    if not filled:
        return None
    if all(number_or_none(line) is not None for line in filled):
        values = np.array([number_or_none(line) for line in filled], np.float64)
        rows = round(len(lines) / share)
        return Content("lines", rows=rows, numbers={"": values})
    # The copy has the suffix of the file, since the suffix decides who reads it.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"part{path.suffix.lower()}"
        copy.write_bytes(part)
        found = _read_table(open_table(copy))
    return found._replace(rows=round(found.rows / share))


def _cut(path: Path) -> tuple[bytes, float]:
    """Returns whole lines from some places of a text, and their share of its bytes."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= _WHOLE_BYTES:
            return file.read(_WHOLE_BYTES), 1.0
        parts = [file.read(_START_BYTES).rpartition(b"\n")[0] + b"\n"]
        for i in range(1, _PLACES + 1):
            file.seek(min(size * i // _PLACES, size) - _PLACE_BYTES)
            some = file.read(_PLACE_BYTES).partition(b"\n")[2]
            parts.append(some.rpartition(b"\n")[0] + b"\n")
    part = b"".join(parts)
    return part, len(part) / size


def _read_arrays(path: Path) -> Content | None:
    # An npz file can only be unpacked as a whole.
    if path.suffix.lower() == ".npz" and path.stat().st_size > _MAX_NPZ_BYTES:
        return None
    table = open_table(path)
    if path.suffix.lower() != ".npz":
        return _read_table(table)
    arrays: dict[str, list[str]] = {}
    for name in table.names[:_MAX_COLUMNS]:
        arrays.setdefault(array_of(name), []).append(name)
    parts = {array: _read_table(table, names) for array, names in arrays.items()}
    return Content(
        "table",
        columns=tuple(name for names in arrays.values() for name in names),
        rows=max((part.rows for part in parts.values()), default=0),
        numbers={k: v for part in parts.values() for k, v in part.numbers.items()},
        texts={k: v for part in parts.values() for k, v in part.texts.items()},
        lengths={array: part.rows for array, part in parts.items()},
    )


def array_of(column: str) -> str:
    """Returns the array of an npz file for a column, such as `voice` for `voice.2`."""
    stem, dot, number = column.rpartition(".")
    return stem if dot and number.isdigit() else column


def _read_table(table: Table, names: list[str] | None = None) -> Content:
    """Reads some rows; a column is read as numbers if it holds numbers alone."""
    names = list(table.names[:_MAX_COLUMNS]) if names is None else names
    plain = _numeric(table, names)
    values, rows = _rows_of(table, plain)
    texts = {}
    for name in names:
        if name not in plain:
            texts[name], counted = _texts_of(table, name)
            rows = max(rows, counted)
    found = {name: values[:, i] for i, name in enumerate(plain)}
    return Content("table", columns=tuple(names), rows=rows, numbers=found, texts=texts)


def _numeric(table: Table, names: list[str]) -> list[str]:
    """Finds the columns that hold numbers, by halves of the columns that are tried."""
    try:
        next(iter(table.blocks(names)), None)
    except DataFormatError:
        if len(names) < 2:
            return []
        half = len(names) // 2
        return _numeric(table, names[:half]) + _numeric(table, names[half:])
    return names


def _rows_of(table: Table, names: list[str]) -> tuple[np.ndarray, int]:
    """Returns the first values, and the number of rows as far as they are counted."""
    parts, rows = [np.zeros((0, len(names)))], 0
    for block in table.blocks(names) if names else ():
        if rows < _MAX_ROWS:
            parts.append(block.numbers[: _MAX_ROWS - rows])
        rows += len(block.numbers)
        if rows > _MAX_COUNTED:
            break
    return np.concatenate(parts), rows


def _texts_of(table: Table, name: str) -> tuple[tuple[str, ...], int]:
    found: list[str] = []
    rows = 0
    for block in table.blocks([], [name]):
        codes, values = block.texts[0].codes, [*block.texts[0].values]
        rows += len(codes)
        found += [values[code] for code in codes.tolist()]
        if rows > _MAX_TEXTS:
            break
    return tuple(found), rows
