"""Centre and spread of one stream over its whole recording.

Each stream of a person is sampled as in `statistics.py`, so that the cost and the
memory of a recording do not grow with its length. The result is a function of the
stream alone: the same in training, after a resume, and for a recording that is only
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

# Frames read per stream. Neighbours are alike, so blocks are short and far apart.
MAX_FRAMES = 2_000
# A column with fewer valid entries in the sample says nothing about its recording.
MIN_ENTRIES = 50
# Part of the cache's key: raise it whenever the same sample would give other numbers.
_VERSION = 2


def ensure_statistics(
    track: Track, *, cache_dir: str | os.PathLike[str]
) -> pathlib.Path:
    """Estimates centre and spread of each column of one person's stream, once.

    Robust as in `fit_statistics`. NaN stands for a column that has fewer than
    `MIN_ENTRIES` valid entries in the sample.

    Args:
      track: the stream.
      cache_dir: results are kept here by content.

    Returns:
      A `.npy` file of float32 [2, dim], for `read_statistics`.
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
        # Opened here: `np.load` leaves a damaged file open.
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not readable ({error})") from error
    if found.shape != (2, dim) or found.dtype != np.float32:
        raise ValueError(
            f"{path}: expected float32 (2, {dim}), got {found.dtype} {found.shape}"
        )
    return found


def sample_frames(track: Track, cache_dir: str | os.PathLike[str]) -> np.ndarray:
    """Reads at most `MAX_FRAMES` valid frames, spread over the whole recording.

    Args:
      track: the stream.
      cache_dir: where slow sources keep their binary copies.

    Returns:
      [frames, dim]; missing entries are NaN.
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
    """Of the sample itself: equal keys mean equal statistics."""
    settings = (_VERSION, MIN_ENTRIES, frames.shape)
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()[:32]


def _save(path: pathlib.Path, found: np.ndarray) -> None:
    with replace_file(path) as file:
        np.save(file, found)
