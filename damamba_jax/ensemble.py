"""Several models as one: the mean of their predictions, frame by frame."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from damamba_jax.config import ConfigError
from damamba_jax.metrics import Trace
from damamba_jax.results import Result, SplitResult

T = TypeVar("T")


def average_traces(members: Sequence[Sequence[Trace]]) -> list[Trace]:
    """Averages the predictions of several models for the same people.

    The plain mean: what the members do not agree on cancels. It varies less than each
    of them, so its CCC gains less than its correlation.

    Args:
      members: per model, traces of one split in any order.

    Raises:
      ConfigError: if they did not predict the same people, or saw other annotations.
    """
    first, *others = [
        {(trace.session, trace.role): trace for trace in member} for member in members
    ]
    for other in others:
        if first.keys() != other.keys():
            names = sorted("/".join(key) for key in first.keys() ^ other.keys())
            raise ConfigError(
                f"`--ensemble`: expected the same people from every workdir, but only "
                f"some predicted {', '.join(names[:3])}. Choose one corpus with --root."
            )
        for key, trace in first.items():
            if not np.array_equal(trace.label, other[key].label, equal_nan=True):
                raise ConfigError(
                    f"`--ensemble`: the annotations of {'/'.join(key)} differ between "
                    f"the workdirs. Choose one corpus with --root."
                )
    return [
        dataclasses.replace(
            trace,
            prediction=np.mean(
                [trace.prediction, *(other[key].prediction for other in others)],
                axis=0, dtype=np.float64,
            ).astype(np.float32),
        )
        for key, trace in first.items()
    ]  # fmt: skip


def combine(results: Sequence[Result], scored: Mapping[str, SplitResult]) -> Result:
    """Makes one row of the members' results and the scores of their mean.

    What a split is compared with (oracle, ridge regression) stands there only where all
    members have the same.

    Args:
      results: of the members, evaluated on the same corpus.
      scored: per split, what the mean of the predictions scores.

    Raises:
      ConfigError: for members that were evaluated in different ways.
    """
    first = results[0]
    alike = ("protocol", "trained_on_simulated", "scored_on_simulated", "smoothing")
    for field in alike:
        values = {getattr(result, field) for result in results}
        if len(values) > 1:
            raise ConfigError(
                f"`--ensemble`: expected workdirs alike in `{field}`, got "
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
