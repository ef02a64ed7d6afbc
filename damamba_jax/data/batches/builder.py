"""Makes batches of windows, with one slice copy per window, person and feature.

`schema/batch.py` describes the arrays of a batch.
"""

import functools
import mmap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Bool, Float, Int
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.config.window import WindowConfig
from damamba_jax.data.batches.people import People
from damamba_jax.data.batches.session_statistics import (
    ensure_statistics,
    read_statistics,
)
from damamba_jax.data.batches.timeline import first_label
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.data.formats.ssi import Stream
from damamba_jax.schema.batch import BATCH, Batch, label_frames, native_frames

# The Windows system has no limits on open files and no advice for memory maps.
try:
    import resource
except ImportError:
    resource = None
_WILL_NEED = getattr(mmap, "MADV_WILLNEED", None)

# This is enough for every corpus. There must be a limit, as some systems set none.
_MOST_OPEN_FILES = 65_536
# The statistics of so many streams of a feature stay in memory. At 1,408 columns they
# take 23 MB.
_STATISTICS_KEPT = 2_048
# So many features, of the training and the evaluation source together, share the limit
# on open files.
_SHARES = 16


class BatchRows(NamedTuple):
    """The people, the time and the labels that each row of a batch shows.

    Attributes:
      people: [B, P] ids in `People`; the target comes first, and -1 stands for nobody.
      slot: [B, P] the participant embedding that each person takes.
      core: [B] model frame at which the core starts, counted from the session's start.
      row_valid: [B] False for rows that only fill up the last batch.
      rated: [B, 2] first frame of the target's annotation that is shown, and the frame
        after the last one. These are all frames, or those of one turn.
    """

    people: Int[np.ndarray, "B P"]
    slot: Int[np.ndarray, "B P"]
    core: Int[np.ndarray, "B"]
    row_valid: Bool[np.ndarray, "B"]
    rated: Int[np.ndarray, "B 2"]


class _Track:
    """Files, rates and lengths of one feature of everybody; opens files when needed."""

    def __init__(
        self, feature: FeatureConfig, tracks: Sequence[Track | None], cache_dir: str
    ):
        self.feature = feature
        self._tracks = tracks
        self._cache_dir = cache_dir
        # The entry after the last person stands for nobody (id -1).
        self.length = np.array([t.num_frames if t else 0 for t in [*tracks, None]])
        self.rate = np.array(
            [t.rate if t and t.num_frames else feature.rate for t in [*tracks, None]]
        )
        self.stops_early = np.array(
            [bool(t and t.stops_early) for t in [*tracks, None]]
        )
        present = self.rate[self.length > 0]
        self.max_rate = float(present.max()) if present.size else feature.rate
        self.open = functools.lru_cache(_streams_kept_open(len(tracks)))(self._open)
        self.statistics = functools.lru_cache(_STATISTICS_KEPT)(self._statistics)
        self._statistics_path = functools.cache(
            lambda person: ensure_statistics(tracks[person], cache_dir=cache_dir)
        )

    def _statistics(self, person: int) -> Float[np.ndarray, "2 dim"]:
        if not self.length[person]:
            return np.full((2, self.feature.dim), np.nan, np.float32)
        path = self._statistics_path(person)
        return read_statistics(path, dim=self.feature.dim)

    def _open(self, person: int) -> "Rows":
        track = self._tracks[person]
        assert track is not None, "`length` is 0 for a person without the feature"
        return Rows.of(track.open(self._cache_dir))


class Rows(NamedTuple):
    """An open stream.

    Attributes:
      data: the samples, `[T, dim]`.
      valid: which rows were recorded; `None` if all were.
      mapping: the map of the file that holds the samples; `None` if they do not lie in
        a file.
      offset: position of the samples in the file, in bytes.
    """

    data: np.ndarray
    valid: np.ndarray | None
    mapping: mmap.mmap | None
    offset: int

    @classmethod
    def of(cls, stream: Stream) -> "Rows":
        """Opens the rows of a stream, without reading them."""
        # This is a plain view of the map, since slices of a `memmap` cost several times
        # as much.
        data = np.asarray(stream.data)
        base = data
        while isinstance(base, np.ndarray):
            base = base.base
        if not isinstance(base, mmap.mmap) or not data.size:
            return cls(data, stream.valid, None, 0)
        # If the kernel read ahead, it would fetch up to 8 MB for each random window
        # that nobody needs.
        base.madvise(mmap.MADV_RANDOM)
        start = np.frombuffer(base, np.uint8).__array_interface__["data"][0]
        offset = data.__array_interface__["data"][0] - start
        return cls(data, stream.valid, base, offset)

    def announce(self, first: int, frames: int) -> None:
        """Tells the kernel to fetch rows that are not in memory, and does not wait."""
        if self.mapping is not None and _WILL_NEED is not None:
            row_bytes = self.data.strides[0]
            start = self.offset + first * row_bytes
            page = start - start % mmap.PAGESIZE
            end = start + frames * row_bytes
            self.mapping.madvise(_WILL_NEED, page, end - page)


def _streams_kept_open(count: int) -> int:
    # Every memory map keeps one file descriptor. To close streams and open them again
    # in random order would cost more than to read them, so the soft limit is raised.
    if resource is None:
        return max(1, min(count, _MOST_OPEN_FILES))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    most = _MOST_OPEN_FILES if unlimited else min(hard, _MOST_OPEN_FILES)
    if soft < min(count * _SHARES, most):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return max(1, min(count, soft // _SHARES))


class BatchBuilder:
    """Fills batches from the sessions' memory maps.

    Rows are copied at the native rate of the stream and converted to float32 if needed.
    A batch has `native_frames` rows for each feature, at the highest rate that the
    feature has in `sessions`.
    Slices lie wholly inside their stream, unless it stops early or the window hides the
    future. The last row is repeated after the end of a stream, but not valid if the
    stream stops early. If a window hides the future, rows after the end of the window
    are not valid either.

    Args:
      sessions: the sessions whose tracks and labels are read.
      features: the features of a batch.
      window: length and core of the windows.
      cache_dir: folder that keeps binary copies of ASCII streams and of streams with
        gaps, and the statistics of recordings.
      normalization: `"session"` adds the statistics of each recording to a batch.
      num_classes: number of classes of the annotations, whose weights are added to a
        batch; 0 if annotations are numbers.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        *,
        features: Sequence[FeatureConfig],
        window: WindowConfig,
        cache_dir: str,
        normalization: str = "training",
        num_classes: int = 0,
    ):
        self.people = People(sessions)
        self.window = window
        self._class_weights = self.people.class_weights(num_classes)
        self._session_statistics = normalization == "session"
        self._tracks = [
            _Track(
                feature,
                [
                    participant.tracks.get(feature.name)
                    for session in sessions
                    for participant in session.participants
                ],
                cache_dir,
            )
            for feature in features
        ]
        rates = set(self.people.label_rate.tolist())
        self._label_frames = max(
            (label_frames(window, rate) for rate in rates), default=1
        )

    def build(self, rows: BatchRows) -> tuple[Batch, Int[np.ndarray, "B Tl"]]:
        """Fills one batch, and returns the index of its labels as `labels` does."""
        labels, index = self.labels(rows)
        return {**self.features(rows), **labels}, index

    def features(self, rows: BatchRows) -> Batch:
        """Fills the part of a batch that is known without annotations."""
        start_seconds = (rows.core - self.window.past_frames) / self.window.frame_hz
        batch: Batch = {
            "features": {},
            "feature_valid": {},
            "first_time": {},
            "rate": {},
            "participant_valid": rows.people >= 0,
            "participant_slot": rows.slot.astype(np.int32),
        }
        for track in self._tracks:
            self._add_feature(batch, track, rows.people, start_seconds)
        if self._session_statistics:
            batch["session_statistics"] = {
                track.feature.name: _statistics(track, rows.people)
                for track in self._tracks
            }
        return batch

    def _add_feature(
        self, batch: Batch, track: _Track, people: np.ndarray, start_seconds: np.ndarray
    ) -> None:
        name, dim = track.feature.name, track.feature.dim
        frames = native_frames(self.window, track.max_rate)
        rate, length = track.rate[people], track.length[people]
        first = np.floor(start_seconds[:, None] * rate).astype(np.int64)
        # Whether a recording goes on behind a core is a part of its hidden future.
        is_cut = track.stops_early[people] | self.window.hides_future
        last = np.where(is_cut, length, length - frames)
        first = np.clip(first, 0, np.maximum(last, 0))
        values = np.empty((people.size, frames, dim), BATCH["features"].dtype)
        valid = np.repeat((length > 0).ravel()[:, None], frames, axis=1)
        # A double that is too large for float32 becomes inf, which counts as missing.
        with np.errstate(over="ignore", invalid="ignore"):
            _copy_slices(track, values, valid, people, first, length)
        if self.window.hides_future:
            # Otherwise the last frames would be interpolated from the row after the
            # window, and those that fill up an attention chunk from later rows.
            end = start_seconds + self.window.window_seconds
            times = (first[..., None] + np.arange(frames)) / rate[..., None]
            valid &= (times < end[:, None, None] - 1e-6).reshape(valid.shape)
            values[~valid] = 0.0
        shape = (*people.shape, frames)
        batch["features"][name] = values.reshape(*shape, dim)
        batch["feature_valid"][name] = valid.reshape(shape)
        offset = np.where(length > 0, first / rate - start_seconds[:, None], 0.0)
        batch["first_time"][name] = offset.astype(np.float32)
        batch["rate"][name] = rate.astype(np.float32)

    def labels(self, rows: BatchRows) -> tuple[Batch, Int[np.ndarray, "B Tl"]]:
        """Fills the part of a batch that the annotations are in.

        Returns:
          The arrays of the batch, and the index of each label in the target's
          annotation. The index is -1 outside the core, the session or the rated frames,
          and in a row that only fills up the batch.
        """
        people, window = self.people, self.window
        start = rows.core - window.past_frames
        target = rows.people[:, 0]
        rate = people.label_rate[target]
        first, core, core_end, end = (
            first_label(frame, frame_hz=window.frame_hz, label_rate=rate)[:, None]
            for frame in (
                start,
                rows.core,
                rows.core + window.core_frames,
                start + window.window_frames,
            )
        )
        index = first + np.arange(self._label_frames)
        in_core = (index >= core) & (index < core_end)
        exists = (index >= rows.rated[:, :1]) & (index < rows.rated[:, 1:])
        exists &= (index < end) & rows.row_valid[:, None]
        where = np.where(exists, people.label_start[target][:, None] + index, 0)
        label = people.labels[where] if people.labels.size else np.zeros(where.shape)
        valid = exists & np.isfinite(label)
        seconds = index / rate[:, None]
        times = seconds - (start / window.frame_hz)[:, None]
        batch: Batch = {
            "label": np.where(valid, label, 0.0).astype(np.float32),
            "label_valid": valid,
            "label_time": times.astype(np.float32),
            "label_core": in_core,
        }
        if len(self._class_weights):
            weight = self._class_weights[batch["label"].astype(np.int64)]
            batch["label_weight"] = np.where(valid, weight, np.float32(0))
        return batch, np.where(exists & in_core, index, -1)


def _statistics(
    track: _Track, people: Int[np.ndarray, "B P"]
) -> Float[np.ndarray, "B P 2 dim"]:
    """Returns the statistics of each person's recording; NaN in the place of nobody."""
    found = np.stack([track.statistics(person) for person in people.ravel().tolist()])
    return found.reshape(*people.shape, *found.shape[1:])


def _copy_slices(
    track: _Track,
    values: Float[np.ndarray, "BP Tn dim"],
    valid: Bool[np.ndarray, "BP Tn"],
    people: Int[np.ndarray, "B P"],
    first: Int[np.ndarray, "B P"],
    length: Int[np.ndarray, "B P"],
) -> None:
    """Copies `data[first : first + Tn]` of each person into `values` and `valid`.

    This is the inner loop of the loader.
    """
    frames = values.shape[1]
    columns = (people.ravel(), first.ravel(), length.ravel())
    table = np.stack(columns, axis=1).tolist()
    # The kernel is told about all slices before the first one is read, so that storage
    # works in parallel.
    for person, lo, count in table:
        if lo < count:
            track.open(person).announce(lo, min(frames, count - lo))
    for row, (out, (person, lo, count)) in enumerate(zip(values, table, strict=True)):
        if count == 0:
            out.fill(0.0)
            continue
        data, mask = track.open(person)[:2]
        there = min(frames, count - lo)
        out[:there] = data[lo : lo + there]
        if mask is not None:
            valid[row, :there] = mask[lo : lo + there]
        if there < frames:
            held = not track.stops_early[person]
            out[there:] = data[-1] if held else 0.0
            valid[row, there:] = held and (mask is None or mask[-1])
        if mask is not None:
            out[~valid[row]] = 0.0
