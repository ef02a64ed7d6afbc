"""Tables in NumPy files, npy and npz, which are mapped and never unpickled."""

import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from damamba_jax.data.formats.tables import Block, Texts, unique_names
from damamba_jax.errors import format_error

_BLOCK_ROWS = 1 << 14
# The arrays of an npz file may take so many bytes, and in addition so many times the
# bytes of the file.
_MAX_BYTES = 64 << 20
_MAX_FACTOR = 200


class ArrayTable:
    """Columns of an npy or npz file; see `tables.Table`."""

    def __init__(self, path: Path):
        self.path = path
        zipped = path.suffix.lower() == ".npz"
        try:
            arrays = _open_npz(path) if zipped else {"": _map_npy(path)}
        except FileNotFoundError:
            raise
        except Exception as error:  # The parsers of a damaged header raise any error.
            raise format_error(
                path, "array", expected="arrays of numbers", got=f"{error!r}"
            ) from error
        self._columns = _name_columns(arrays)
        if not self._columns:
            raise format_error(
                path, "array", expected="[T] or [T, columns]", got="none"
            )
        self.names = tuple(self._columns)

    def blocks(
        self, numbers: Sequence[str], texts: Sequence[str] = ()
    ) -> Iterator[Block]:
        """Yields the rows of some columns; see `tables.Table`."""
        columns = [self._columns[name] for name in (*numbers, *texts)]
        lengths = {len(array) for array, _ in columns}
        if len(lengths) > 1:
            raise format_error(
                self.path,
                "columns",
                expected="arrays of the same length (name the columns to read)",
                got=f"lengths {sorted(lengths)}",
            )
        for row in range(0, max(lengths, default=0), _BLOCK_ROWS):
            part = slice(row, row + _BLOCK_ROWS)
            values = [
                array[part] if i is None else array[part, i] for array, i in columns
            ]
            floats = [self._floats(v) for v in values[: len(numbers)]]
            rows = min(_BLOCK_ROWS, max(lengths) - row)
            yield Block(
                np.stack(floats, axis=1) if floats else np.zeros((rows, 0)),
                tuple(self._texts(v) for v in values[len(numbers) :]),
            )

    def _floats(self, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind not in "biuf":
            raise format_error(
                self.path, "dtype", expected="numbers", got=f"{values.dtype}"
            )
        return values.astype(np.float64)

    def _texts(self, values: np.ndarray) -> Texts:
        found, codes = np.unique(values, return_inverse=True)
        try:
            texts = found.tolist()
        except (ValueError, SystemError) as error:
            # NumPy does not check that characters are valid before.
            raise format_error(
                self.path, "dtype", expected="text", got=f"{error}"
            ) from error
        # A whole number is written without a decimal point, as people write it.
        spelled = [f"{v:g}" if isinstance(v, float) else str(v) for v in texts]
        return Texts(codes.astype(np.int64), spelled)


def _map_npy(path: Path) -> np.ndarray:
    # NumPy refuses to map a file that is shorter than its header claims.
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _map_open(file: IO[bytes]) -> np.ndarray:
    """Maps an array in an open file, as `np.load` maps one with a path."""
    file.seek(0)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(np.lib.format.read_magic(file))
    if read is None:
        raise ValueError("the file has a version of the format that is not supported")
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("the array holds Python objects")
    if 0 in shape:
        return np.zeros(shape, dtype)
    order = "F" if fortran else "C"
    return np.memmap(file, dtype, "r", offset=file.tell(), shape=shape, order=order)


def _open_npz(path: Path) -> dict[str, np.ndarray]:
    """Unpacks arrays into temporary files, maps them, and deletes their names."""
    left = _MAX_BYTES + _MAX_FACTOR * path.stat().st_size
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            if not item.filename.endswith(".npy"):
                continue
            with archive.open(item) as packed, tempfile.TemporaryFile() as file:
                while block := packed.read(1 << 20):
                    left -= len(block)
                    if left < 0:
                        raise ValueError(
                            "the arrays take more than 200 times as many bytes as the "
                            "file; save each of them with `np.save`"
                        )
                    file.write(block)
                arrays[item.filename.removesuffix(".npy")] = _map_open(file)
    return arrays


def _name_columns(
    arrays: Mapping[str, np.ndarray],
) -> dict[str, tuple[np.ndarray, int | None]]:
    """Names the columns, and returns the array of each and its index in that array.

    The index is `None` for an array of one axis, which is a column as a whole.
    """
    columns: list[tuple[str, np.ndarray, int | None]] = []
    for name, array in arrays.items():
        if array.ndim == 1 and array.dtype.names:
            columns += [(field, array[field], None) for field in array.dtype.names]
        elif array.ndim == 1:
            columns.append((name or "0", array, None))
        elif array.ndim == 2:
            stem = f"{name}." if name else ""
            columns += [(f"{stem}{i}", array, i) for i in range(array.shape[1])]
    names = unique_names([name for name, _, _ in columns])
    return {n: (array, i) for n, (_, array, i) in zip(names, columns, strict=True)}
