"""Agreement of each rater with the others: the score of a human on the same frames."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from damamba_jax.metrics.ccc import ccc
from damamba_jax.metrics.classes import agree_on_class, confusion_matrix, kappa_of
from damamba_jax.metrics.finite import finite_mean
from damamba_jax.metrics.trace import Frames, concatenate


def rater_agreement(
    people: Iterable[Mapping[str, Float[np.ndarray, "_"]]],
    *,
    num_classes: int = 0,
    ordered: bool = False,
) -> dict[str, float]:
    """Computes the CCC of each rater with the mean of all others.

    For classes it is the kappa of each rater with the class on which the others agree.
    The frames of all people are pooled, as in the official metric. A frame counts if
    the rater and at least one other have rated it.

    Args:
      people: for each person the ratings of each rater, NaN where there is no rating.
      num_classes: the number of classes if ratings are numbers of classes; 0 if ratings
        are values.
      ordered: whether the classes are steps of a scale.

    Returns:
      The score of each rater, by name. Raters who share no frame with others are left
      out.
    """
    parts: dict[str, list[Frames]] = {}
    for ratings in people:
        for rater, own in ratings.items():
            others = [values for name, values in ratings.items() if name != rater]
            if not others:
                continue
            rest = np.stack(others)
            if num_classes:
                said = agree_on_class(rest, num_classes=num_classes, ordered=ordered)
            else:
                said = finite_mean(rest)
            both = np.isfinite(own) & np.isfinite(said)
            parts.setdefault(rater, []).append(Frames(said[both], own[both]))
    pooled = {rater: concatenate(frames) for rater, frames in sorted(parts.items())}
    return {
        rater: _kappa(frames, num_classes) if num_classes else ccc(*frames)
        for rater, frames in pooled.items()
        if len(frames.label)
    }


def _kappa(frames: Frames, num_classes: int) -> float:
    label, own = (side.astype(np.int64) for side in frames)
    return kappa_of(confusion_matrix(label, own, num_classes)).item()
