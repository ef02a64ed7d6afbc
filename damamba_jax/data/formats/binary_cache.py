"""Arrays that are computed once, kept as `.npy` files and mapped into memory."""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from damamba_jax.files import read_kept, replace_path

_log = logging.getLogger(__name__)

# Errors for a folder that another user owns, and for a disk that cannot be written.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def cached_array(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    fill: Callable[[np.ndarray], None],
) -> np.ndarray:
    """Maps an array from the cache into memory, and writes it there first if needed.

    A file that is damaged, holds another array or may not be read is written again. If
    nothing may be written into the folder, the array is made in memory.

    Args:
      path: `.npy` file; its name depends on everything that the values depend on.
      shape, dtype: the shape and type of the array.
      fill: writes the values into the array; called only if there is no good file.

    Raises:
      OSError: if the file cannot be written, for example because the disk is full.
    """

    def read(path: Path) -> np.ndarray:
        # Unlike `np.load`, this function does not leave a damaged file open.
        data = np.lib.format.open_memmap(path, mode="r")
        if data.shape != shape or data.dtype != dtype:
            raise ValueError(
                f"expected {dtype} {list(shape)}, got {data.dtype} {list(data.shape)}"
            )
        return data

    data = read_kept(path, read, _log)
    if data is not None:
        return data
    try:
        _write(path, shape, dtype, fill)
        return read(path)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        _log.warning("%s: the array is kept in memory alone: %s", path, error)
        data = np.empty(shape, dtype)
        fill(data)
        data.flags.writeable = False
        return data


def _write(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    fill: Callable[[np.ndarray], None],
) -> None:
    with replace_path(path) as part:
        data = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            # A full disk raises an error here. In the mapping it would be a crash.
            with open(part, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        fill(data)
        data.flush()
        del data
