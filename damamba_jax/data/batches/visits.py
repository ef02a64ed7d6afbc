"""The windows of training: cores with a rated frame, or rated turns."""

from typing import ClassVar, NamedTuple

import numpy as np

from damamba_jax.array_types import Int
from damamba_jax.config.window import WindowConfig
from damamba_jax.data.batches.people import People
from damamba_jax.data.batches.timeline import first_label


class Visit(NamedTuple):
    """Windows of training.

    Attributes:
      person: [B] the target, as an id in `People`.
      core: [B] model frame at which the core starts.
      rated: [B, 2] first frame of the annotation that is shown, and the frame after the
        last one.
    """

    person: Int[np.ndarray, "B"]
    core: Int[np.ndarray, "B"]
    rated: Int[np.ndarray, "B 2"]


class VisitCores:
    """Cores that hold a rated frame; one core starts every `stride_frames`.

    Args:
      people: the people of the training sessions.
      window: length and core of the windows.
    """

    unit: ClassVar[str] = "core"

    def __init__(self, people: People, window: WindowConfig):
        self._people = people
        self._person, self._core = _rated_cores(people, window)

    def __len__(self) -> int:
        return len(self._person)

    def __call__(self, number: Int[np.ndarray, "B"], rng: np.random.Generator) -> Visit:
        """Finds some of the windows by their numbers."""
        del rng
        person = self._person[number]
        return Visit(person, self._core[number], self._people.annotations(person))


class VisitTurns:
    """Rated turns; a core lies in its turn, or covers the turn if the core is longer.

    Args:
      people: the people of the training sessions.
      window: length and core of the windows.
    """

    unit: ClassVar[str] = "turn"

    def __init__(self, people: People, window: WindowConfig):
        self._window = window
        rated = np.concatenate([[0], np.cumsum(np.isfinite(people.labels))])
        found = [
            (person, first, last)
            for person in np.flatnonzero(people.labelled).tolist()
            for _, first, last in zip(*people.turns[person], strict=True)
            if np.ptp(rated[people.label_start[person] + np.array([first, last])])
        ]
        table = np.array(found, np.int64).reshape(-1, 3)
        self._person, self._rated = table[:, 0], table[:, 1:]
        self._rate = people.label_rate[self._person]

    def __len__(self) -> int:
        return len(self._person)

    def __call__(self, number: Int[np.ndarray, "B"], rng: np.random.Generator) -> Visit:
        """Draws a window for each of the turns with these numbers."""
        rated = self._rated[number]
        start, end = (rated / self._rate[number, None] * self._window.frame_hz).T
        # The small number makes up for rounding errors: times on a frame stay on it.
        start = np.floor(start + 1e-6).astype(np.int64)
        end = np.ceil(end - 1e-6).astype(np.int64) - self._window.core_frames
        core = rng.integers(np.minimum(start, end), np.maximum(start, end) + 1)
        return Visit(self._person[number], core, rated)


def _rated_cores(people: People, window: WindowConfig) -> tuple[np.ndarray, np.ndarray]:
    """Returns person and core of each training window whose core has a valid label."""
    person, core = people.cores(
        np.flatnonzero(people.labelled),
        every_frames=window.stride_frames,
        frame_hz=window.frame_hz,
    )
    rated = np.concatenate([[0], np.cumsum(np.isfinite(people.labels))])
    rates = people.label_rate[person]
    first, last = (
        people.label_start[person]
        + np.minimum(
            first_label(frame, frame_hz=window.frame_hz, label_rate=rates),
            people.label_count[person],
        )
        for frame in (core, core + window.core_frames)
    )
    keep = rated[last] > rated[first]
    return person[keep], core[keep]
