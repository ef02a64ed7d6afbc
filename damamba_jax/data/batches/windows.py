"""Makes windows of sessions, and batches of windows, with grain.

A window is `(target, core)`: the person who is scored, and the model frame at which the
scored core starts. The context lies before and after the core. In evaluation the cores
cover each session without overlap: core `k` has the model frames `[k * core_frames,
(k + 1) * core_frames)`. In training a core starts every `stride_frames`. Label `i`, at
`i / label_rate` seconds, belongs to the core whose time span holds it. Times are
compared exactly, so that each label of a session has exactly one core in evaluation.
Windows may reach beyond both ends of a session, and the last core may too.

If turns are rated as a whole (`data.label_unit`), training visits turns in place of
cores. The core lies somewhere in the turn, at a new place each time, or covers the turn
if the turn is shorter. No frame of another turn counts.

One record of the grain data set is one whole batch, so that grain's cost per record
arises once per batch. `schema/batch.py` describes the arrays of a batch.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import grain
import numpy as np

from damamba_jax.array_types import Bool, Int
from damamba_jax.config.sections import DataConfig
from damamba_jax.data.batches.builder import BatchBuilder, BatchRows
from damamba_jax.data.batches.everybody import each_as_target
from damamba_jax.data.batches.visits import VisitCores, VisitTurns
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.errors import ConfigError, CorpusError
from damamba_jax.schema.batch import Batch

# These numbers, together with the seed, select independent random generators.
_EPOCHS, _PARTNERS = 0, 1


class TrainingSource:
    """Batches of training: `source[s]` is the batch of step `s`.

    A batch depends on the seed and the step alone. Epoch `e` visits every window, or
    turn, once, in an order drawn from `(seed, e)`; a batch may lie across two epochs.
    Windows whose core holds no valid label are left out. If a session has more people
    than `data.participants`, random partners are taken, in role order. Every partner
    takes a random slot of `1 .. max_participants - 1`, so that all slots are trained on
    sessions of two people too.

    Args:
      sessions: the training sessions.
      data: features, participants, window and cache of the batches.
      max_participants: number of slots of the model, including the target's.
      batch_size: number of windows of the global batch.
      seed: the seed of the order, the partners and the slots.
      num_steps: number of batches of the source.
      process_index, process_count: index of this process and number of processes. Each
        process builds its contiguous share of each global batch.

    Raises:
      CorpusError: if there is no window to train on.
      ConfigError: if the batch size is not a multiple of `process_count`.
      ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        data: DataConfig,
        *,
        max_participants: int,
        batch_size: int,
        seed: int,
        num_steps: int,
        process_index: int = 0,
        process_count: int = 1,
    ):
        if max_participants < data.participants:
            raise ValueError(
                f"`max_participants`: expected at least `data.participants` = "
                f"{data.participants}, got {max_participants}."
            )
        self._share = _share(batch_size, process_index, process_count)
        self._builder = _builder(sessions, data)
        visit = {"frame": VisitCores, "turn": VisitTurns}[data.label_unit]
        self._visit = visit(self._builder.people, data.window)
        if not self.num_windows:
            raise CorpusError(_no_windows(sessions, f"{visit.unit} with a rated frame"))
        self._num_partners = data.participants - 1
        self._num_slots = max_participants - 1
        self._batch_size = batch_size
        self._num_steps = num_steps
        self._seed = seed
        # A batch across two epochs needs two orders, and threads may work on batches
        # before and after it.
        self._order = functools.lru_cache(maxsize=4)(self._permutation)

    @property
    def num_windows(self) -> int:
        """Number of windows of one epoch."""
        return len(self._visit)

    def __len__(self) -> int:
        return self._num_steps

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self._num_steps:
            raise IndexError(f"`step`: expected [0, {self._num_steps}), got {step}.")
        step = int(step)
        position = np.arange(self._batch_size) + step * self._batch_size
        epochs = range(int(position[0]) // self.num_windows, 1 + (
            int(position[-1]) // self.num_windows))  # fmt: skip
        order = np.concatenate([self._order(epoch) for epoch in epochs])
        window = order[position - epochs.start * self.num_windows]
        rng = np.random.default_rng((self._seed, _PARTNERS, step))
        person, core, rated = self._visit(window, rng)
        partners = _draw(rng, self._builder.people.partners[person], self._num_partners)
        slots = rng.random((self._batch_size, self._num_slots)).argsort(axis=1) + 1
        rows = BatchRows(
            people=np.column_stack([person, partners]),
            slot=np.column_stack(
                [np.zeros_like(person), slots[:, : partners.shape[1]]]
            ),
            core=core,
            row_valid=np.ones(self._batch_size, bool),
            rated=rated,
        )
        return self._builder.build(_take(rows, self._share))[0]

    def _permutation(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng((self._seed, _EPOCHS, epoch))
        return rng.permutation(self.num_windows)


class EvaluationRows(NamedTuple):
    """The places that the scores of a batch belong to; these arrays stay on the host.

    Attributes:
      session: [B] index into the source's sessions.
      participant: [B] index of the target in that session's `participants`.
      label_index: [B, Tl] index of each core label in the target's annotation; -1
        elsewhere. Over all batches each label of each target comes exactly once.
      row_valid: [B] False for rows that only fill up the last batch.
      turn: [B, Tl] number of the turn that each core label belongs to, counted over all
        people; -1 elsewhere, and everywhere if there are no turns.
    """

    session: Int[np.ndarray, "B"]
    participant: Int[np.ndarray, "B"]
    label_index: Int[np.ndarray, "B Tl"]
    row_valid: Bool[np.ndarray, "B"]
    turn: Int[np.ndarray, "B Tl"]


# What a split must have for each kind of targets.
_EXPECTED = {"labelled": "annotation file", "rated": "rating", "all": "frame"}


class EvaluationBatch(NamedTuple):
    """One batch, and the places that its scores belong to."""

    batch: Batch
    rows: EvaluationRows


class EvaluationSource:
    """All cores of all targets in a fixed order; `source[i]` is an `EvaluationBatch`.

    If a session has more people than `data.participants`, its first partners in role
    order are taken. Partners take the slots 1, 2, ... in that order. The last batch
    repeats its last window in rows that are not valid.

    Args:
      sessions: the sessions of any splits.
      data: features, participants, window and cache of the batches.
      batch_size: number of targets of the global batch.
      targets: `"labelled"` scores everybody with an annotation file; `"rated"` leaves
        out their cores without a rating; `"all"` scores everybody who is not only a
        partner.
      max_batches: if not 0, at most this many batches of windows, spread evenly.
      everybody: whether each window comes once, with all of its people as targets. The
        arrays of labels are then [B, P, Tl], and `EvaluationRows` has a row for each
        person of each window. The sessions must be `all_alike`.
      process_index, process_count: as in `TrainingSource`.

    Raises:
      CorpusError: if there is no window.
      ConfigError, ValueError: as in `TrainingSource`.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        data: DataConfig,
        *,
        batch_size: int,
        targets: Literal["labelled", "rated", "all"] = "labelled",
        max_batches: int = 0,
        everybody: bool = False,
        process_index: int = 0,
        process_count: int = 1,
    ):
        self._targets = data.participants if everybody else 1
        batch_size = max(1, batch_size // self._targets)
        self._share = _share(batch_size, process_index, process_count)
        self._builder = _builder(sessions, data)
        people = self._builder.people
        scored = people.is_target if targets == "all" else people.labelled
        if everybody:
            scored = scored & (people.seats[:, 1] == 0)
        person, core = people.cores(
            np.flatnonzero(scored),
            every_frames=data.window.core_frames,
            frame_hz=data.window.frame_hz,
        )
        if targets == "rated":
            rated = people.rated_cores(person, core, window=data.window)
            person, core = person[rated], core[rated]
        if not len(person):
            raise CorpusError(_no_windows(sessions, _EXPECTED[targets]))
        if max_batches and max_batches * batch_size < len(person):
            keep = np.linspace(0, len(person) - 1, max_batches * batch_size)
            keep = keep.astype(np.int64)
            person, core = person[keep], core[keep]
        self._windows = person, core
        self._num_partners = data.participants - 1
        self._batch_size = batch_size

    @property
    def num_windows(self) -> int:
        """Number of windows of all targets."""
        return len(self._windows[0])

    def __len__(self) -> int:
        return -(-self.num_windows // self._batch_size)

    def __getitem__(self, index: int) -> EvaluationBatch:
        if not 0 <= index < len(self):
            raise IndexError(f"`index`: expected [0, {len(self)}), got {index}.")
        position = np.arange(self._batch_size) + int(index) * self._batch_size
        row_valid = position < self.num_windows
        window = np.minimum(position, self.num_windows - 1)
        person, core = (column[window] for column in self._windows)
        people = self._builder.people
        partners = _pad(people.partners[person], self._num_partners)
        rows = BatchRows(
            people=np.column_stack([person, partners[:, : self._num_partners]]),
            slot=np.tile(np.arange(1 + self._num_partners), (self._batch_size, 1)),
            core=core,
            row_valid=row_valid,
            rated=people.annotations(person),
        )
        rows = _take(rows, self._share)
        batch = self._builder.features(rows)
        if self._targets > 1:
            rows = each_as_target(rows, people)
        labels, label_index = self._builder.labels(rows)
        if self._targets > 1:
            shape = (-1, self._targets, label_index.shape[1])
            labels = {name: array.reshape(shape) for name, array in labels.items()}
        batch |= labels
        seats = people.seats[rows.people[:, 0]]
        turn = np.full_like(label_index, -1)
        if people.turn.size:
            start = people.label_start[rows.people[:, 0], None]
            found = people.turn[start + np.maximum(label_index, 0)]
            turn = np.where(label_index >= 0, found, -1)
        return EvaluationBatch(
            batch,
            EvaluationRows(
                session=seats[:, 0],
                participant=seats[:, 1],
                label_index=label_index,
                row_valid=rows.row_valid,
                turn=turn,
            ),
        )


def read_batches(
    source: TrainingSource | EvaluationSource, *, num_threads: int, start_step: int = 0
) -> grain.DatasetIterator:
    """Iterates over `source` from `start_step` on, reading ahead in threads.

    Args:
      source: batches by index.
      num_threads: number of threads that build batches; with 0, a batch is built when
        it is asked for.
      start_step: index of the first batch; earlier batches are not read.

    Raises:
      ValueError: if `start_step` is out of range.
    """
    if not 0 <= start_step <= len(source):
        raise ValueError(
            f"`start_step`: expected [0, {len(source)}], got {start_step}."
        )
    # For each thread, one batch is being filled and one is waiting.
    options = grain.ReadOptions(
        num_threads=num_threads, prefetch_buffer_size=2 * num_threads
    )
    # The annotations of grain want one type for both sources.
    batches = cast(Sequence[Batch | EvaluationBatch], source)
    dataset = grain.MapDataset.source(batches)[start_step:]
    return iter(dataset.to_iter_dataset(options))


def long_passes(
    sessions: Sequence[Session], data: DataConfig, *, multiple_frames: int
) -> list[tuple[DataConfig, list[int]]]:
    """Groups sessions for evaluation in one pass: one window covers a whole session.

    Args:
      sessions: sessions of any lengths.
      data: the settings of the batches, of which only the window is changed.
      multiple_frames: the window's length is rounded up to a multiple of this, so that
        sessions of similar lengths share one compiled shape.

    Returns:
      For each group, the shortest sessions first, `data` with a window that covers the
      sessions, and the indices of the sessions. `EvaluationSource` takes both.
    """
    groups: dict[int, list[int]] = {}
    for index, session in enumerate(sessions):
        counts = [person.num_labels for person in session.participants]
        seconds = max(session.duration, max(counts, default=0) / session.label_rate)
        blocks = math.ceil(seconds * data.window.frame_hz / multiple_frames)
        groups.setdefault(max(blocks, 1) * multiple_frames, []).append(index)
    passes = []
    for frames, members in sorted(groups.items()):
        window = dataclasses.replace(
            data.window,
            past_frames=0,
            core_frames=frames,
            future_frames=0,
            stride_frames=frames,
        )
        passes.append((dataclasses.replace(data, window=window), members))
    return passes


def _builder(sessions: Sequence[Session], data: DataConfig) -> BatchBuilder:
    return BatchBuilder(
        sessions,
        features=data.features,
        window=data.window,
        cache_dir=data.cache_dir,
        normalization=data.normalization,
        num_classes=len(data.classes),
    )


def _draw(rng: np.random.Generator, partners: np.ndarray, count: int) -> np.ndarray:
    """Chooses `count` partners per row, in role order; -1 only if there are too few."""
    partners = _pad(partners, count)
    keys = np.where(partners >= 0, rng.random(partners.shape), 2.0)
    chosen = np.sort(keys.argsort(axis=1)[:, :count], axis=1)
    return np.take_along_axis(partners, chosen, axis=1)


def _pad(partners: np.ndarray, count: int) -> np.ndarray:
    missing = max(count - partners.shape[1], 0)
    return np.pad(partners, ((0, 0), (0, missing)), constant_values=-1)


def _share(batch_size: int, process_index: int, process_count: int) -> slice:
    if batch_size < 1 or batch_size % process_count:
        raise ConfigError(
            f"`batch_size`: expected a positive multiple of `process_count` = "
            f"{process_count}, got {batch_size}."
        )
    if not 0 <= process_index < process_count:
        raise ValueError(
            f"`process_index`: expected [0, {process_count}), got {process_index}."
        )
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def _take(rows: BatchRows, share: slice) -> BatchRows:
    return BatchRows(*(column[share] for column in rows))


def _no_windows(sessions: Sequence[Session], expected: str) -> str:
    if not sessions:
        return "`sessions`: expected one session or more, got none: name another split."
    splits = ", ".join(sorted({session.split for session in sessions}))
    seats = [
        f"{session.id}/{person.role}: {person.labels_path or 'no annotation file'}"
        for session in sessions
        for person in session.participants
    ]
    listed = "; ".join(seats[:3]) + (f"; and {len(seats) - 3} more" * (len(seats) > 3))
    return (
        f"split {splits}: expected at least one {expected} among {len(sessions)} "
        f"sessions with {len(seats)} participants, got none ({listed}). If the "
        f"annotations lie elsewhere, set `data.labels_root`; or choose another split."
    )
