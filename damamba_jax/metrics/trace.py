"""Traces: a participant's annotation and prediction over a session."""

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from damamba_jax.metrics.turns import Turns, turn_means

logger = logging.getLogger(__name__)


Align = Literal["index", "official_script5"]
Gender = Literal["female", "male"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """One participant's annotation and prediction over a whole session.

    Args:
      split: the split of the session, such as `"noxi/val"`.
      session: the name of the session within its split.
      role: the role of the participant, such as `"expert"`.
      label: the annotation, NaN where there is none. If there are classes, it is the
        number of the class.
      prediction: one value for each frame of `label`, in the same unit. If there are
        classes, it is the number of the likeliest class.
      label_rate: the rate of the annotation, in Hz.
      language: the language of the session, if it is known.
      label_range: the lowest and the highest value of the annotation.
      turns: the turns, if turns were rated as a whole and each of them counts once;
        `None` if every frame counts.
      classes: the names of the classes; empty if annotations are numbers.
      classes_ordered: whether classes are steps of a scale.
      probabilities: the predicted probability of each class; `None` if it is unknown.
      gender: the gender of the participant, if it is known.
    """

    split: str
    session: str
    role: str
    label: Float[np.ndarray, "Tl"]
    prediction: Float[np.ndarray, "Tp"]
    label_rate: float = 25.0
    language: str | None = None
    label_range: tuple[float, float] = (0.0, 1.0)
    turns: Turns | None = None
    classes: tuple[str, ...] = ()
    classes_ordered: bool = False
    probabilities: Float[np.ndarray, "Tp K"] | None = None
    gender: Gender | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether any frame has a label."""
        return bool(np.isfinite(self.label).any())

    def class_probabilities(self) -> Float[np.ndarray, "Tp K"]:
        """Returns the probability of each class.

        If probabilities are unknown, the predicted class has probability 1.
        """
        if self.probabilities is not None:
            return self.probabilities
        number = np.arange(len(self.classes))
        found = np.where(self.prediction[:, None] == number, 1.0, 0.0)
        found[np.isnan(self.prediction)] = np.nan
        return found

    def with_probabilities(self, probabilities: Float[np.ndarray, "Tp K"]) -> "Trace":
        """Returns a copy that predicts the likeliest of these classes."""
        return dataclasses.replace(
            self, prediction=likeliest(probabilities), probabilities=probabilities
        )


def likeliest(probabilities: Float[np.ndarray, "T K"]) -> Float[np.ndarray, "T"]:
    """Finds the number of the likeliest class, or NaN if a probability is missing."""
    there = np.isfinite(probabilities.sum(axis=1))
    found = np.where(there[:, None], probabilities, 0.0).argmax(axis=1)
    return np.where(there, found, np.nan)


def from_unit(
    values: Float[np.ndarray, "T"], label_range: tuple[float, float]
) -> Float[np.ndarray, "T"]:
    """Maps [0, 1], the range in which models predict, to the annotation's range."""
    low, high = label_range
    return values if (low, high) == (0.0, 1.0) else low + (high - low) * values


def to_unit(
    values: Float[np.ndarray, "T"], label_range: tuple[float, float]
) -> Float[np.ndarray, "T"]:
    """Maps the annotation's range to [0, 1]. This is the reverse of `from_unit`."""
    low, high = label_range
    return values if (low, high) == (0.0, 1.0) else (values - low) / (high - low)


class Frames(NamedTuple):
    """Annotation and prediction of the same frames, without gaps, float64."""

    label: Float[np.ndarray, "T"]
    prediction: Float[np.ndarray, "T"]


def align_frames(
    label: Float[np.ndarray, "Tl"],
    prediction: Float[np.ndarray, "Tp"],
    *,
    align: Align = "index",
) -> Frames:
    """Pairs annotation and prediction of one trace and drops frames without label.

    `"index"` pairs frame i of the annotation with line i of the prediction.
    `"official_script5"` does what the challenge's script 5 does. It deletes missing
    lines from each side separately and cuts both sides to the shorter length. This
    shifts a full-length prediction after every gap of the annotation. Use it only to
    reproduce that script.

    Raises:
      ValueError: with `"index"`, if the lengths differ, or if a prediction is missing
        or infinite where there is a label.
    """
    label = np.asarray(label, np.float64)
    prediction = np.asarray(prediction, np.float64)
    if align == "official_script5":
        label, prediction = label[~np.isnan(label)], prediction[~np.isnan(prediction)]
        shorter = min(len(label), len(prediction))
        return Frames(label[:shorter], prediction[:shorter])
    if align != "index":
        raise ValueError(
            f"`align`: expected 'index' or 'official_script5', got {align!r}."
        )
    if label.shape != prediction.shape:
        raise ValueError(
            f"`prediction`: expected one value per frame of `label` ({len(label)}), "
            f"got {len(prediction)}."
        )
    valid = np.isfinite(label)
    bad = valid & ~np.isfinite(prediction)
    if bad.any():
        raise ValueError(
            "`prediction`: expected a finite value at every labelled frame, got "
            f"{np.count_nonzero(bad)} others, the first at frame {np.argmax(bad)}."
        )
    return Frames(label[valid], prediction[valid])


def rated(trace: Trace, *, align: Align = "index") -> Frames:
    """Pairs annotation and prediction of a trace's frames, or of its turns.

    Raises:
      ValueError: in the cases that `align_frames` names.
    """
    label, prediction = trace.label, trace.prediction
    if trace.turns is not None:
        label, prediction = (turn_means(x, trace.turns) for x in (label, prediction))
    return align_frames(label, prediction, align=align)


def pool(traces: Iterable[Trace], *, align: Align = "index") -> Frames:
    """Pools the labelled frames, or turns, of several traces."""
    return concatenate([rated(trace, align=align) for trace in traces])


def concatenate(parts: Sequence[Frames]) -> Frames:
    """Puts the frames of several traces end to end."""
    empty = [np.zeros(0)]
    return Frames(
        np.concatenate([part.label for part in parts] or empty),
        np.concatenate([part.prediction for part in parts] or empty),
    )
