"""Arrays that are computed once, kept as `.npy` files and mapped into memory."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from damamba_jax.errors import format_error
from damamba_jax.files import replace_path


def cached_array(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    fill: Callable[[np.ndarray], None],
) -> np.ndarray:
    """Maps an array that lies in the cache, or writes it there first.

    Args:
      path: `.npy` file; its name holds all that the values depend on.
      shape, dtype: the shape and type of the array.
      fill: writes the values into the array; called only if there is no file.

    Raises:
      DataFormatError: if the file holds another array.
    """
    if not path.is_file():
        with replace_path(path) as part:
            data = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
            if hasattr(os, "posix_fallocate"):
                # A full disk is an error here; in a mapping it would be a crash.
                with open(part, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
            fill(data)
            data.flush()
            del data
    data = np.load(path, mmap_mode="r", allow_pickle=False)
    if data.shape != shape or data.dtype != dtype:
        raise format_error(
            path,
            "cache",
            expected=f"{dtype} {list(shape)} (delete the file to make it anew)",
            got=f"{data.dtype} {list(data.shape)}",
        )
    return data
