"""Centre and spread of one stream over its whole recording.

Each stream of a person is sampled as in `statistics.py`, so that the cost and the
memory of a recording do not grow with its length. The result is a function of the
stream alone: the same in training, after a resume, and for a recording that is only
predicted.
"""

import hashlib
import logging
import os
import pathlib
import tempfile

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.config import FeatureConfig
from damamba_jax.data.sessions import Track
from damamba_jax.data.statistics import (
    block_rows,
    center_and_spread,
    valid_frames,
)

# Frames read per stream. Neighbours are alike, so blocks are short and far apart.
MAX_FRAMES = 2_000
# A column with fewer valid entries in the sample says nothing about its recording.
MIN_ENTRIES = 50
# Part of the cache's key: raise it whenever the same sample would give other numbers.
_VERSION = 1


def session_statistics(
    track: Track, *, cache_dir: str | os.PathLike[str]
) -> Float[np.ndarray, "2 dim"]:
    """Estimates centre and spread of each column of one person's stream.

    Robust as in `fit_statistics`. NaN stands for a column that has fewer than
    `MIN_ENTRIES` valid entries in the sample.

    Args:
      track: the stream.
      cache_dir: results are kept here by content.
    """
    feature = track.feature
    frames = _sample(track, cache_dir)
    folder = pathlib.Path(cache_dir) / "session-statistics"
    path = folder / f"{feature.name}-{_key(frames)}.npy"
    found = _load(path, feature)
    if found is None:
        found = _estimate(frames)
        _save(path, found)
    return found


def _sample(track: Track, cache_dir: str | os.PathLike[str]) -> np.ndarray:
    """[frames, dim] valid frames; missing entries are NaN."""
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


def _load(path: pathlib.Path, feature: FeatureConfig) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        # Opened here: `np.load` leaves a damaged file open.
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
        if found.shape != (2, feature.dim) or found.dtype != np.float32:
            raise ValueError(f"holds {found.dtype} {found.shape}")
    except (ValueError, OSError, EOFError) as error:
        logging.warning("%s: not readable (%s); computing it again.", path, error)
        return None
    return found


def _save(path: pathlib.Path, found: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when complete: a reader sees the whole file or none.
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=path.stem, suffix=".part", delete=False
    ) as file:
        np.save(file, found)
    os.replace(file.name, path)
