"""Estimates centre and spread of one stream over its whole recording.

Each stream of a person is sampled as in `statistics.py`, so that time and memory do not
grow with the length of the recording. The result depends on the stream alone. It is the
same in training, after training was resumed, and for a recording that is only
predicted.
"""

import functools
import hashlib
import logging
import os
import pathlib

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.batches.statistics import (
    block_rows,
    center_and_spread,
    valid_frames,
)
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.files import read_kept, replace_file

_log = logging.getLogger(__name__)

# At most so many frames of each stream are read. Neighbouring frames are alike, so the
# blocks of frames are short and far apart.
MAX_FRAMES = 2_000
# A column with fewer valid entries in the sample has no statistics.
MIN_ENTRIES = 50
# This is part of the cache's key. Raise it whenever the same sample would give other
# numbers.
_VERSION = 2


def ensure_statistics(
    track: Track, *, cache_dir: str | os.PathLike[str]
) -> pathlib.Path:
    """Estimates centre and spread of each column of one person's stream.

    The estimates are those of `fit_statistics`. They are NaN for a column that has
    fewer than `MIN_ENTRIES` valid entries in the sample.

    Args:
      track: the stream.
      cache_dir: folder that keeps the results; the sample decides the file's name.

    Returns:
      The path of a `.npy` file of float32 [2, dim], which `read_statistics` reads.
    """
    frames = sample_frames(track, cache_dir)
    folder = pathlib.Path(cache_dir) / "session-statistics"
    path = folder / f"{track.feature.name}-{_key(frames)}.npy"
    read = functools.partial(read_statistics, dim=track.feature.dim)
    if read_kept(path, read, _log) is None:
        _save(path, _estimate(frames))
    return path


def read_statistics(path: pathlib.Path, *, dim: int) -> Float[np.ndarray, "2 dim"]:
    """Reads a file of `ensure_statistics`.

    Raises:
      ValueError: if the file is damaged.
    """
    try:
        # The file is opened here, because `np.load` leaves a damaged file open.
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: the file cannot be read ({error})") from error
    if found.shape != (2, dim) or found.dtype != np.float32:
        raise ValueError(
            f"{path}: expected float32 (2, {dim}), got {found.dtype} {found.shape}"
        )
    return found


def sample_frames(track: Track, cache_dir: str | os.PathLike[str]) -> np.ndarray:
    """Reads at most `MAX_FRAMES` valid frames, spread over the whole recording.

    Args:
      track: the stream.
      cache_dir: folder for binary copies of files that are slow to read.

    Returns:
      The frames, float32 [frames, dim]; missing entries are NaN.
    """
    stream = track.open(cache_dir)
    blocks = block_rows(stream.data.shape[0], MAX_FRAMES).tolist()
    sample = [valid_frames(stream, lo, hi, track.feature) for lo, hi in blocks]
    return np.concatenate([np.zeros((0, track.feature.dim), np.float32), *sample])


def _estimate(frames: np.ndarray) -> np.ndarray:
    found = np.zeros((2, frames.shape[1]))
    if len(frames):
        found[:] = center_and_spread(frames)
    found[:, np.isfinite(frames).sum(axis=0) < MIN_ENTRIES] = np.nan
    return found.astype(np.float32)


def _key(frames: np.ndarray) -> str:
    """Returns a key of the sample; equal keys mean equal statistics."""
    settings = (_VERSION, MIN_ENTRIES, frames.shape)
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()[:32]


def _save(path: pathlib.Path, found: np.ndarray) -> None:
    with replace_file(path) as file:
        np.save(file, found)
