"""Estimates centre and spread of each feature in the training split, to standardise it.

A corpus may have hundreds of gigabytes, so it is sampled. From each stream short blocks
of consecutive frames are read, evenly spaced over its whole length. All streams of a
feature together give at most `MAX_FRAMES` frames. The blocks depend only on the number
of streams and on their lengths, so the same corpus gives the same numbers.
"""

import hashlib
import logging
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Bool, Float, Int
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.data.formats.ssi import Stream
from damamba_jax.errors import CorpusError
from damamba_jax.files import keep_file, read_kept
from damamba_jax.schema.missing import MAX_ABS, usable_entries, usable_frames
from damamba_jax.schema.statistics import FeatureStatistics, from_arrays

_log = logging.getLogger(__name__)

# At most so many frames of each feature are read. The median of so many independent
# values is known to 1 % of their spread. For the widest feature, with 1,408 columns,
# they take 113 MB.
MAX_FRAMES = 20_000


# Consecutive frames of one block. Neighbouring frames tell little more than one frame
# does, but reading them costs little more than reading one.
BLOCK_FRAMES = 8


# A column counts as constant if its spread is below this share of its centre.
SPREAD_FLOOR = 1e-6


# This is part of the cache's key. Raise it whenever the same data would give other
# numbers.
_VERSION = 2


class Progress(NamedTuple):
    """The progress of `fit_statistics` after each stream.

    Attributes:
      feature: name of the feature that is being read.
      done, total: number of streams that are done and of all streams, over all
        features.
      seconds: time since the start, s.
      eta_seconds: time that is expected until the end, s.
    """

    feature: str
    done: int
    total: int
    seconds: float
    eta_seconds: float


def missing_entries(
    frames: Float[np.ndarray, "T dim"], *, feature: FeatureConfig
) -> tuple[Bool[np.ndarray, "T dim"], Bool[np.ndarray, "T"]]:
    """Finds missing entries and missing frames.

    `schema/missing.py` has the rule. All entries of a missing frame are missing.

    Returns:
      Two masks: the missing entries, and the missing frames.
    """
    with np.errstate(invalid="ignore"):
        usable = usable_entries(frames, feature.missing_value)
    frame = ~usable_frames(frames, usable, _kept(feature))
    return ~usable | frame[:, None], frame


def fit_statistics(
    sessions: Sequence[Session],
    features: Sequence[FeatureConfig],
    *,
    cache_dir: str | os.PathLike[str],
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, FeatureStatistics]:
    """Estimates centre and spread of each feature over everybody in `sessions`.

    The centre is the median of the valid entries. The spread is the larger of two
    numbers. One is `IQR / 1.349`, which is the standard deviation of a Gaussian. The
    other is the standard deviation after the values are cut at their 1st and 99th
    percentiles, which is not zero if only most values are equal, and which outliers
    change little. If both are zero, the spread is the plain standard deviation.

    Args:
      sessions: sessions of the training split; every participant counts, rated or not.
      features: the features to read.
      cache_dir: folder that keeps the results. The name of a file depends on the shapes
        and gaps of the streams, and on a few frames of each.
      progress: called after each stream that was read.

    Raises:
      CorpusError: if a feature has no valid frame in `sessions`.
    """
    tracks = {
        feature.name: [
            participant.tracks[feature.name]
            for session in sessions
            for participant in session.participants
            if feature.name in participant.tracks
        ]
        for feature in features
    }
    report = _Reporter(progress, total=sum(map(len, tracks.values())))
    statistics = {}
    for feature in features:
        found = tracks[feature.name]
        key = _fingerprint(found, feature, cache_dir)
        path = pathlib.Path(cache_dir) / f"statistics-{feature.name}-{key}.npz"
        fitted = _load(path, feature)
        if fitted is None:
            frames = _sample(found, feature, cache_dir, report)
            if not frames.size:
                splits = ", ".join(sorted({session.split for session in sessions}))
                raise CorpusError(
                    f"feature {feature.name!r}: expected valid frames in split "
                    f"{splits or '(no sessions)'}, got none in {len(found)} streams of "
                    f"{len(sessions)} sessions. Leave the feature out of "
                    f"`data.features`, or check that its files are there."
                )
            fitted = _estimate(frames, feature)
            _save(path, fitted)
        else:
            report.skip(len(found))
        statistics[feature.name] = fitted
    return statistics


def _kept(feature: FeatureConfig) -> np.ndarray:
    kept = np.ones(feature.dim, bool)
    kept[list(feature.drop_columns)] = False
    return kept


def block_rows(length: int, budget: int) -> Int[np.ndarray, "blocks 2"]:
    """Returns (first, last + 1) of evenly spaced blocks, `budget` rows at most."""
    if length <= budget:
        return np.array([[0, length]])
    count = max(budget // BLOCK_FRAMES, 1)
    size = min(BLOCK_FRAMES, budget)
    # Each block is the middle of one of `count` equal parts of the stream.
    first = ((np.arange(count) + 0.5) * length / count - size / 2).astype(np.int64)
    return np.stack([first, first + size], axis=1)


def _sample(
    tracks: Sequence[Track],
    feature: FeatureConfig,
    cache_dir: str | os.PathLike[str],
    report: "_Reporter",
) -> np.ndarray:
    """Reads valid frames, float32 [frames, dim]; missing entries are NaN."""
    budget = max(MAX_FRAMES // max(len(tracks), 1), 1)
    # If there are more streams than frames, every n-th stream gives one frame.
    every = -(-len(tracks) // MAX_FRAMES) if tracks else 1
    sample = []
    for index, track in enumerate(tracks):
        if index % every == 0:
            stream = track.open(cache_dir)
            blocks = block_rows(stream.data.shape[0], budget).tolist()
            sample.extend(valid_frames(stream, lo, hi, feature) for lo, hi in blocks)
        report.step(feature.name)
    return np.concatenate([np.zeros((0, feature.dim), np.float32), *sample])


def valid_frames(
    stream: Stream, first: int, last: int, feature: FeatureConfig
) -> np.ndarray:
    """Reads the valid frames of `[first, last)`, float32 [frames, dim].

    Missing entries are NaN.
    """
    # A double that is too large for float32 becomes inf, which counts as missing.
    with np.errstate(over="ignore"):
        frames = np.array(stream.data[first:last], np.float32)
    entry, frame = missing_entries(frames, feature=feature)
    if stream.valid is not None:
        # The gaps of a stream of integers hold 0, but 0 is not a recorded value.
        frame |= ~stream.valid[first:last]
    frames[entry] = np.nan
    return frames[~frame]


def _estimate(frames: np.ndarray, feature: FeatureConfig) -> FeatureStatistics:
    center = np.zeros(feature.dim, np.float64)
    spread = np.zeros(feature.dim, np.float64)
    # Columns are handled in groups, so that not all of them are sorted at once.
    for lo in range(0, feature.dim, 128):
        columns = slice(lo, min(lo + 128, feature.dim))
        center[columns], spread[columns] = center_and_spread(frames[:, columns])
    constant = spread <= SPREAD_FLOOR * np.maximum(np.abs(center), SPREAD_FLOOR)
    used = _kept(feature) & ~constant
    inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=used)
    return FeatureStatistics(center.astype(np.float32), inverse.astype(np.float32))


def center_and_spread(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns median and robust spread of each column of [frames, n], without NaN."""
    # NaN sorts to the end, so the first `count` entries of a row are the valid ones.
    ordered = np.sort(columns.T, axis=1).astype(np.float64)
    count = np.isfinite(ordered).sum(axis=1)
    low, quarter, center, three_quarters, high = (
        _quantile(ordered, count, q) for q in (0.01, 0.25, 0.5, 0.75, 0.99)
    )
    cut = np.clip(ordered, low[:, None], high[:, None])
    spread = np.maximum((three_quarters - quarter) / 1.349, _deviation(cut, count))
    spread = np.where(spread > 0, spread, _deviation(ordered, count))
    return center, spread


def _quantile(ordered: np.ndarray, count: np.ndarray, q: float) -> np.ndarray:
    """Interpolates the quantile `q` of each row; 0 for a row without a valid entry."""
    place = q * np.maximum(count - 1, 0)
    lower = np.floor(place).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(count - 1, 0))
    rows = np.arange(len(ordered))
    a, b = ordered[rows, lower], ordered[rows, upper]
    return np.where(count > 0, a + (b - a) * (place - lower), 0.0)


def _deviation(ordered: np.ndarray, count: np.ndarray) -> np.ndarray:
    valid = np.isfinite(ordered)
    number = np.maximum(count, 1)
    mean = np.where(valid, ordered, 0.0).sum(axis=1) / number
    square = np.where(valid, ordered - mean[:, None], 0.0) ** 2
    return np.sqrt(square.sum(axis=1) / number)


def _fingerprint(
    tracks: Sequence[Track],
    feature: FeatureConfig,
    cache_dir: str | os.PathLike[str],
) -> str:
    """Returns a key that depends on content alone, so that a corpus may be moved."""
    settings = (_VERSION, MAX_FRAMES, BLOCK_FRAMES, MAX_ABS, SPREAD_FLOOR)
    rules = (feature.dim, feature.drop_columns, feature.missing_value)
    digest = hashlib.sha256(repr((settings, rules, len(tracks))).encode())
    for track in tracks:
        stream = track.open(cache_dir)
        length = stream.data.shape[0]
        rows = np.unique(np.linspace(0, max(length - 1, 0), 16).astype(np.int64))[
            :length
        ]
        digest.update(repr((stream.data.shape, str(stream.data.dtype))).encode())
        digest.update(np.ascontiguousarray(stream.data[rows]).tobytes())
        if stream.valid is not None:
            digest.update(np.packbits(stream.valid).tobytes())
    return digest.hexdigest()[:20]


def _load(path: pathlib.Path, feature: FeatureConfig) -> FeatureStatistics | None:
    def read(path: pathlib.Path) -> FeatureStatistics:
        # The file is opened here, because `np.load` leaves a damaged file open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            tree = {feature.name: {key: arrays[key] for key in arrays.files}}
        return from_arrays(tree, [feature])[feature.name]

    return read_kept(path, read, _log)


def _save(path: pathlib.Path, statistics: FeatureStatistics) -> None:
    keep_file(path, lambda file: np.savez(file, **statistics._asdict()), _log)


class _Reporter:
    def __init__(self, progress: Callable[[Progress], None] | None, *, total: int):
        self._progress = progress
        self._total = total
        self._done = 0
        self._start = time.monotonic()

    def skip(self, count: int) -> None:
        self._total -= count

    def step(self, feature: str) -> None:
        self._done += 1
        if self._progress is None:
            return
        seconds = time.monotonic() - self._start
        left = (self._total - self._done) * seconds / self._done
        self._progress(Progress(feature, self._done, self._total, seconds, left))
