"""The people of a set of sessions, with their partners, labels and turns."""

from collections.abc import Sequence

import numpy as np

from damamba_jax.array_types import Bool, Float, Int
from damamba_jax.config.window import WindowConfig
from damamba_jax.data.batches.timeline import first_label, num_cores
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.metrics.turns import NO_TURNS, Turns


class People:
    """Everybody in `sessions`, numbered session by session in role order.

    Attributes:
      seats: [N, 2] session index and participant index of each person.
      partners: [N, max people - 1] the other people of each person's session, in role
        order, padded with -1.
      labels: annotations of all people, one after the other; NaN where nobody rated.
      label_start, label_count: [N] start and length of each person's annotation in
        `labels`. A person without a file has `round(duration * label_rate)` frames of
        NaN, so that predictions have a time axis.
      label_rate: [N] rate of each person's annotation, Hz.
      labelled: [N] whether the person has an annotation file.
      is_target: [N] whether the person is scored, and not only a partner.
      turns: [N] the turns of each person; empty if frames are scored.
      turn: number of the turn that each entry of `labels` belongs to, counted over all
        people; -1 outside of turns. The array is empty if nobody has turns.
    """

    def __init__(self, sessions: Sequence[Session]):
        seats: list[tuple[int, int]] = []
        groups, labels, rates, labelled, targets = [], [], [], [], []
        self.turns: list[Turns] = []
        for index, session in enumerate(sessions):
            first = len(seats)
            groups.append(range(first, first + len(session.participants)))
            for seat, participant in enumerate(session.participants):
                seats.append((index, seat))
                labels.append(np.asarray(session.annotation(seat), np.float32))
                rates.append(float(session.label_rate))
                labelled.append(participant.labels_path is not None)
                targets.append(participant.is_target)
                self.turns.append(session.turns(seat) or NO_TURNS)
        widest = max((len(group) for group in groups), default=1)
        self.partners = np.full((len(seats), widest - 1), -1, np.int64)
        for group in groups:
            for person in group:
                others = [other for other in group if other != person]
                self.partners[person, : len(others)] = others
        self.seats = np.array(seats, np.int64).reshape(-1, 2)
        self.labels = np.concatenate([np.zeros(0, np.float32), *labels])
        self.label_count = np.array([len(x) for x in labels], np.int64)
        self.label_start = np.cumsum(self.label_count) - self.label_count
        self.label_rate = np.array(rates, np.float64)
        self.labelled = np.array(labelled, bool)
        self.is_target = np.array(targets, bool)
        # If nobody has turns, the array of their numbers is empty.
        self.turn = np.full(len(self.labels) * any(self.turns), -1, np.int64)
        first_turn = 0
        for start, turns in zip(self.label_start.tolist(), self.turns, strict=True):
            for i in range(len(turns)):
                here = slice(start + turns.first[i], start + turns.last[i])
                self.turn[here] = first_turn + i
            first_turn += len(turns)

    def __len__(self) -> int:
        return len(self.seats)

    def annotations(self, persons: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n 2"]:
        """Returns 0 and the number of frames of each annotation: all of its frames."""
        count = self.label_count[persons]
        return np.stack([np.zeros_like(count), count], axis=1)

    def class_weights(self, num_classes: int) -> Float[np.ndarray, "K"]:
        """Returns weights with which all classes count alike, 1 for the average label.

        The weight is `n / (K n_k)` for a class with `n_k` of `n` labels. The label of a
        turn counts once. A class without any label has the weight 0.

        Args:
          num_classes: number of classes; 0 if annotations are numbers.
        """
        labels, rated = self.labels, self._is_rated()
        if len(self.turn):
            _, first = np.unique(self.turn[rated], return_index=True)
            labels = labels[rated][first]
        count = np.array([np.sum(labels == k) for k in range(num_classes)], np.int64)
        weight = count.sum() / np.maximum(num_classes * count, 1)
        return np.where(count > 0, weight, 0.0).astype(np.float32)

    def cores(
        self, persons: Int[np.ndarray, "n"], *, every_frames: int, frame_hz: float
    ) -> tuple[Int[np.ndarray, "W"], Int[np.ndarray, "W"]]:
        """Lists (person, first model frame) of all cores of `persons`, in order.

        A core starts every `every_frames`, from 0 to the last label.
        """
        counts = [
            num_cores(
                int(self.label_count[person]),
                every_frames=every_frames,
                frame_hz=frame_hz,
                label_rate=float(self.label_rate[person]),
            )
            for person in persons
        ]
        starts = [np.arange(count) * every_frames for count in counts]
        return (
            np.repeat(persons, counts),
            np.concatenate([np.zeros(0, np.int64), *starts]),
        )

    def rated_cores(
        self,
        persons: Int[np.ndarray, "W"],
        starts: Int[np.ndarray, "W"],
        *,
        window: WindowConfig,
    ) -> Bool[np.ndarray, "W"]:
        """Says for each core whether it holds a rating that counts.

        Args:
          persons, starts: person and first model frame of each core.
          window: length of a core and rate of the model's frames.
        """
        frame_hz = window.frame_hz
        rate, count = self.label_rate[persons], self.label_count[persons]
        # The number of ratings before each label.
        before = np.concatenate([[0], np.cumsum(self._is_rated())])
        first, end = (
            before[
                self.label_start[persons]
                + np.minimum(first_label(at, frame_hz=frame_hz, label_rate=rate), count)
            ]
            for at in (starts, starts + window.core_frames)
        )
        return end > first

    def _is_rated(self) -> Bool[np.ndarray, "n"]:
        """Says of each label whether it is a rating, and in a turn if turns count."""
        rated = np.isfinite(self.labels)
        return rated & (self.turn >= 0) if len(self.turn) else rated
