"""Agreement of each rater with the others: what a human reaches on the same frames."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from damamba_jax.metrics.ccc import ccc
from damamba_jax.metrics.finite import finite_mean
from damamba_jax.metrics.trace import Frames, concatenate


def rater_agreement(
    people: Iterable[Mapping[str, Float[np.ndarray, "_"]]],
) -> dict[str, float]:
    """Computes the CCC of each rater with the mean of all others.

    Frames of all people are pooled, as in the official metric; those count which the
    rater and at least one other have rated.

    Args:
      people: for each person the ratings of each rater, NaN where not rated.

    Returns:
      CCC by rater; raters who never rated together with another are left out.
    """
    parts: dict[str, list[Frames]] = {}
    for ratings in people:
        for rater, own in ratings.items():
            others = [values for name, values in ratings.items() if name != rater]
            if not others:
                continue
            mean = finite_mean(np.stack(others))
            both = np.isfinite(own) & np.isfinite(mean)
            parts.setdefault(rater, []).append(Frames(mean[both], own[both]))
    pooled = {rater: concatenate(frames) for rater, frames in sorted(parts.items())}
    return {rater: ccc(*frames) for rater, frames in pooled.items() if len(frames[0])}


def describe_agreement(agreement: Mapping[str, float]) -> str:
    """Says in one line how well raters agree."""
    each = ", ".join(f"{name} {value:.3f}" for name, value in agreement.items())
    mean = sum(agreement.values()) / len(agreement)
    return (
        f"human ceiling, CCC of each rater with the mean of the others: {each}; "
        f"mean {mean:.3f}"
    )
