"""One row of results for several models whose predictions are averaged."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

from damamba_jax.errors import ConfigError
from damamba_jax.evaluation.results import Result, SplitResult

T = TypeVar("T")


def combine(results: Sequence[Result], scored: Mapping[str, SplitResult]) -> Result:
    """Makes the result of an ensemble from the scores of its mean prediction.

    A split keeps its references (oracle, ridge regression) only if all members have the
    same ones.

    Args:
      results: the results of the members, evaluated on the same corpus.
      scored: for each split, the scores of the mean prediction.

    Raises:
      ConfigError: if the members were evaluated in different ways.
    """
    first = results[0]
    alike = ("protocol", "trained_on_simulated", "scored_on_simulated", "smoothing")
    for field in alike:
        values = {getattr(result, field) for result in results}
        if len(values) > 1:
            raise ConfigError(
                f"`--ensemble`: expected workdirs with the same `{field}`, got "
                f"{sorted(map(str, values))}."
            )
    by_name = [{split.split: split for split in r.splits} for r in results]
    splits = [
        dataclasses.replace(
            split,
            oracle=_agreed([found[name].oracle for found in by_name]),
            ridge=_agreed([found[name].ridge for found in by_name]),
        )
        for name, split in scored.items()
    ]
    return dataclasses.replace(
        first, method=f"ensemble of {len(results)}", step=None, splits=tuple(splits)
    )


def _agreed(values: Sequence[T | None]) -> T | None:
    return values[0] if all(value == values[0] for value in values) else None
