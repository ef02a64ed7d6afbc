"""Who is scored in a set of sessions, and on which frames of their annotation.

Times are compared exactly, as fractions: which core a label belongs to must not depend
on rounding.
"""

import functools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from damamba_jax.array_types import Float, Int
from damamba_jax.data.corpora import Participant, Session


def first_label(
    frame: int | Int[np.ndarray, "..."],
    *,
    frame_hz: float,
    label_rate: float | Float[np.ndarray, "..."],
) -> Int[np.ndarray, "..."]:
    """Smallest `i` with `i / label_rate >= frame / frame_hz`, in exact arithmetic.

    The labels of model frames `[a, b)` are therefore `[first_label(a),
    first_label(b))`: neighbouring cores share no label and leave none out.

    Args:
      frame: model frames, may be negative.
      frame_hz: frames of the model per second.
      label_rate: labels per second; one for all frames, or one per frame.
    """
    rates, which = np.unique(label_rate, return_inverse=True)
    ratios = [_ratio(rate, frame_hz) for rate in rates.tolist()]
    up, down = np.array(ratios, np.int64).reshape(-1, 2)[which.reshape(-1)].T
    if np.ndim(label_rate) == 0:
        up, down = up[0], down[0]
    return np.asarray(-((-np.asarray(frame, np.int64) * up) // down))


@functools.cache
def _ratio(label_rate: float, frame_hz: float) -> tuple[int, int]:
    # 30000/1001 and decimal rates become the fraction that they stand for.
    exact = Fraction(label_rate).limit_denominator(10**5)
    ratio = exact / Fraction(frame_hz).limit_denominator(10**5)
    return ratio.numerator, ratio.denominator


def num_cores(
    num_labels: int, *, every_frames: int, frame_hz: float, label_rate: float
) -> int:
    """Cores, one every `every_frames`, that start at or before the last label."""
    if num_labels <= 0:
        return 0
    # Core k starts at or before label i if and only if k * every * up / down <= i.
    up, down = _ratio(label_rate, frame_hz)
    return (num_labels - 1) * down // (up * every_frames) + 1


class People:
    """Everybody in `sessions`, numbered session by session in role order.

    Attributes:
      seats: [N, 2] session index and participant index of each person.
      partners: [N, max people - 1] the others of each person's session in role order,
        padded with -1.
      labels: annotations of all people, one after the other; NaN where not rated.
      label_start, label_count: [N] where each person's annotation lies in `labels`.
        A person without a file has `round(duration * label_rate)` frames of NaN, so
        that predictions have a time axis.
      label_rate: [N] Hz.
      labelled: [N] whether there is a file.
    """

    def __init__(self, sessions: Sequence[Session]):
        seats: list[tuple[int, int]] = []
        groups, labels, rates, labelled = [], [], [], []
        for index, session in enumerate(sessions):
            first = len(seats)
            groups.append(range(first, first + len(session.participants)))
            for seat, participant in enumerate(session.participants):
                seats.append((index, seat))
                labels.append(_annotation(session, participant))
                rates.append(float(session.label_rate))
                labelled.append(participant.labels_path is not None)
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

    def __len__(self) -> int:
        return len(self.seats)

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


def _annotation(session: Session, participant: Participant) -> np.ndarray:
    if participant.labels_path is not None:
        return np.asarray(participant.labels(), np.float32)
    return np.full(round(session.duration * session.label_rate), np.nan, np.float32)
