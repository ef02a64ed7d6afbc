"""Scores of classes: accuracy, macro-F1, AUC and Cohen's kappa of pooled frames.

All scores but AUC follow from the confusion matrix, whose rows are annotated classes
and whose columns are predicted classes. Kappa (Cohen, 1960) is the challenge's measure:
`(p_o - p_e) / (1 - p_e)`. `p_o` is the share of frames on which annotation and
prediction agree, and `p_e` is the share on which they would agree if they were
independent. Kappa is undefined if only one class is annotated and only this class is
predicted; it counts as 0 here. The weighted kappa (Cohen, 1968) is for ordered classes:
a wrong class counts by its squared distance.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from damamba_jax.metrics.agreement import Agreement, Interval, jackknife_interval
from damamba_jax.metrics.trace import Trace
from damamba_jax.metrics.turns import turn_classes, turn_means


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassScores(Agreement):
    """Agreement on classes over pooled frames.

    Args:
      classes: the names of the classes.
      confusion: the number of frames for each annotated class (outer tuple) and
        predicted class (inner tuples).
      kappa: Cohen's kappa without weights.
      weighted_kappa: Cohen's kappa with squared distances as weights; `None` for
        classes without an order.
      accuracy: the share of frames whose class was predicted.
      macro_f1: the mean of the F1 of all classes that were annotated or predicted.
      auc: the area under the ROC curve of each class against all others, averaged over
        the classes; `None` if only one class was annotated.
      kappa_low, kappa_high: the ends of the interval over sessions; `None` for fewer
        than `agreement.MIN_SESSIONS` sessions.
    """

    headline: ClassVar[str] = "kappa"

    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    kappa: float
    weighted_kappa: float | None
    accuracy: float
    macro_f1: float
    auc: float | None
    kappa_low: float | None = None
    kappa_high: float | None = None

    @property
    def value(self) -> float:
        """Cohen's kappa."""
        return self.kappa

    @property
    def interval(self) -> Interval | None:
        """The interval over sessions, if there is one."""
        if self.kappa_low is None or self.kappa_high is None:
            return None
        return Interval(self.kappa_low, self.kappa_high)


class RatedClasses(NamedTuple):
    """The frames, or turns, of traces that have an annotation.

    Attributes:
      label: the number of the annotated class.
      probability: the predicted probability of each class.
    """

    label: Int[np.ndarray, "n"]
    probability: Float[np.ndarray, "n K"]

    @property
    def prediction(self) -> Int[np.ndarray, "n"]:
        """The number of the likeliest class."""
        return self.probability.argmax(axis=1)


def rated_classes(trace: Trace) -> RatedClasses:
    """Pairs annotation and prediction of a trace's frames, or of its turns.

    Raises:
      ValueError: if a prediction is missing where there is a label.
    """
    label, probability = trace.label, trace.class_probabilities()
    if trace.turns is not None:
        label = turn_classes(label, trace.turns, len(trace.classes))
        probability = turn_means(probability, trace.turns)
    if len(label) != len(probability):
        raise ValueError(
            f"`prediction`: expected one class per frame of `label` ({len(label)}), "
            f"got {len(probability)}."
        )
    valid = np.isfinite(label)
    bad = valid & ~np.isfinite(probability).all(axis=1)
    if bad.any():
        raise ValueError(
            "`prediction`: expected a class at every labelled frame, got "
            f"{np.count_nonzero(bad)} frames without a class, the first at frame "
            f"{np.argmax(bad)}."
        )
    return RatedClasses(label[valid].astype(np.int64), probability[valid])


def score_classes(traces: Sequence[Trace], *, confidence: float = 0.95) -> ClassScores:
    """Scores the pooled frames of `traces`, with an interval over their sessions.

    Args:
      traces: traces of the same classes, in any order. Traces without any label do not
        count.
      confidence: how often the interval should hold the truth.

    Raises:
      ValueError: if no frame has a label, or the classes differ.
    """
    pooled, tables = _by_session(traces)
    classes, ordered = traces[0].classes, traces[0].classes_ordered
    table = np.stack(list(tables.values()))
    total = table.sum(axis=0)
    each = kappa_of(table)
    interval = jackknife_interval(table, kappa_of, confidence=confidence)
    low, high = interval or (None, None)
    return ClassScores(
        num_frames=len(pooled.label),
        num_sessions=len(table),
        classes=classes,
        confusion=tuple(tuple(row) for row in total.tolist()),
        kappa=kappa_of(total).item(),
        weighted_kappa=kappa_of(total, squared=True).item() if ordered else None,
        accuracy=float(np.trace(total) / total.sum()),
        macro_f1=macro_f1(total),
        auc=mean_auc(*pooled),
        kappa_low=low,
        kappa_high=high,
        session_mean=float(each.mean()),
        session_std=float(each.std(ddof=1)) if len(each) > 1 else None,
        unit="frame" if any(trace.turns is None for trace in traces) else "turn",
    )


def session_tables(
    traces: Sequence[Trace],
) -> dict[tuple[str, str], Int[np.ndarray, "K K"]]:
    """Counts the confusion matrix of each (split, session) that has labels.

    Raises:
      ValueError: if no frame has a label, or the classes differ.
    """
    return _by_session(traces)[1]


def _by_session(
    traces: Sequence[Trace],
) -> tuple[RatedClasses, dict[tuple[str, str], Int[np.ndarray, "K K"]]]:
    """Returns all labelled frames, and the confusion matrix of each session."""
    if len({trace.classes for trace in traces}) > 1:
        raise ValueError("`traces`: expected the same classes in all of them.")
    parts: list[RatedClasses] = []
    found: dict[tuple[str, str], np.ndarray] = {}
    for trace in sorted(traces, key=lambda t: (t.split, t.session, t.role)):
        rated = rated_classes(trace)
        if len(rated.label):
            parts.append(rated)
            key, size = (trace.split, trace.session), len(trace.classes)
            table = confusion_matrix(rated.label, rated.prediction, size)
            found[key] = found.get(key, 0) + table
    if not parts:
        raise ValueError(
            f"`traces`: expected at least one labelled frame, got {len(traces)} traces "
            "without any."
        )
    return RatedClasses(*map(np.concatenate, zip(*parts, strict=True))), found


def confusion_matrix(
    label: Int[np.ndarray, "n"], prediction: Int[np.ndarray, "n"], num_classes: int
) -> Int[np.ndarray, "K K"]:
    """Counts frames by annotated class (rows) and predicted class (columns)."""
    place = label * num_classes + prediction
    return np.bincount(place, minlength=num_classes**2).reshape(num_classes, -1)


def kappa_of(
    table: Int[np.ndarray, "*S K K"], *, squared: bool = False
) -> Float[np.ndarray, "*S"]:
    """Computes Cohen's kappa of confusion matrices, or 0 where it is undefined.

    Args:
      table: the confusion matrices.
      squared: whether a wrong class counts by its squared distance. Otherwise all wrong
        classes count the same.
    """
    size = table.shape[-1]
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    miss = distance**2.0 if squared else (distance != 0).astype(np.float64)
    share = table / np.maximum(table.sum(axis=(-2, -1), keepdims=True), 1)
    by_chance = share.sum(axis=-1)[..., :, None] * share.sum(axis=-2)[..., None, :]
    observed, expected = ((miss * x).sum(axis=(-2, -1)) for x in (share, by_chance))
    defined = expected > 1e-15
    return np.where(defined, 1.0 - observed / np.where(defined, expected, 1.0), 0.0)


def macro_f1(table: Int[np.ndarray, "K K"]) -> float:
    """Computes the mean of the F1 of all classes that were annotated or predicted."""
    both = table.sum(axis=0) + table.sum(axis=1)
    there = both > 0
    return float(np.mean(2.0 * np.diag(table)[there] / both[there]))


def mean_auc(
    label: Int[np.ndarray, "n"], probability: Float[np.ndarray, "n K"]
) -> float | None:
    """Computes the mean area under the ROC curves of the annotated classes.

    A curve compares one class with all others. Its area is the chance that a frame of
    the class gets a higher probability of the class than another frame does, where a
    tie counts half. The result is `None` if only one class was annotated.
    """
    areas = []
    for number in np.unique(label).tolist():
        mine = label == number
        positive, negative = np.count_nonzero(mine), np.count_nonzero(~mine)
        if negative:
            _, place, count = np.unique(
                probability[:, number], return_inverse=True, return_counts=True
            )
            rank = (np.cumsum(count) - (count - 1) / 2.0)[place]
            above = rank[mine].sum() - positive * (positive + 1) / 2.0
            areas.append(above / (positive * negative))
    return float(np.mean(areas)) if areas else None


def agree_on_class(
    ratings: Float[np.ndarray, "R T"], *, num_classes: int, ordered: bool
) -> Float[np.ndarray, "T"]:
    """Makes one annotation from those of several raters.

    It is the class that most raters chose, or the median if the classes are ordered. A
    frame is not rated if two classes are equally frequent, or if the median lies
    between two classes.

    Args:
      ratings: the numbers of the classes; NaN where a rater gave none.
      num_classes: the number of classes.
      ordered: whether the classes are steps of a scale.
    """
    if len(ratings) == 1:
        return ratings[0]
    rated = np.isfinite(ratings)
    out = np.full(ratings.shape[1], np.nan)
    some = rated.any(axis=0)
    if not some.any():
        return out
    if ordered:
        middle = np.nanmedian(ratings[:, some], axis=0)
        out[some] = np.where(middle % 1.0 == 0.0, middle, np.nan)
        return out
    count = (ratings[..., None] == np.arange(num_classes)).sum(axis=0)
    most = count.max(axis=1)
    alone = (count == most[:, None]).sum(axis=1) == 1
    return np.where(some & alone, count.argmax(axis=1), np.nan)
