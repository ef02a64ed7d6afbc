"""Writes streams a few rows at a time, with notes on how they were made."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.formats.headers import read_xml
from damamba_jax.data.formats.stream_header import header_text
from damamba_jax.files import replace_file

_TYPE = np.dtype("<f4")


def write_rows(
    path: str | os.PathLike,
    blocks: Iterable[Float[np.ndarray, "..."]],
    sample_rate: float,
    *,
    dim: int,
    notes: Mapping[str, str],
) -> int:
    """Writes a stream of float32 in constant memory.

    An old header is removed before the samples are replaced, and the new header is
    written last. If the process ends at any moment, no header is left beside samples of
    another stream.

    Args:
      path: the path of the header; the samples go to `path~`.
      blocks: blocks of rows, `[rows, dim]` each; they may differ in length.
      sample_rate: frames per second, Hz.
      dim: number of columns of every block.
      notes: attributes of the header's `meta`; `read_notes` reads them.

    Returns:
      The number of rows that were written.

    Raises:
      ValueError: for a block of another width.
    """
    path, num = Path(path), 0
    with replace_file(path.with_name(path.name + "~")) as file:
        for block in blocks:
            if block.ndim != 2 or block.shape[1] != dim:
                raise ValueError(
                    f"`blocks`: expected [rows, {dim}], got {list(block.shape)}."
                )
            file.write(block.astype(_TYPE).tobytes())
            num += len(block)
        path.unlink(missing_ok=True)
    with replace_file(path) as file:
        text = header_text(_TYPE, dim, sample_rate, [(0, 0, num)], notes=notes)
        file.write(text.encode())
    return num


def read_notes(path: str | os.PathLike) -> dict[str, str]:
    """Reads the attributes of a header's `meta`; none if it has no `meta`.

    Raises:
      DataFormatError: for a file that is not a header of a stream.
    """
    meta = read_xml(path, "stream").child("meta")
    return {} if meta is None else dict(meta.element.items())
