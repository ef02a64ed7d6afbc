"""Several models used as one: the mean of their predictions for each frame."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from damamba_jax.errors import ConfigError
from damamba_jax.metrics.trace import Trace


def average_traces(members: Sequence[Sequence[Trace]]) -> list[Trace]:
    """Averages the predictions of several models for the same people.

    It is the plain mean; for classes it is the mean of the probabilities. Errors that
    the models do not share cancel. The mean varies less than each model's prediction,
    so that the CCC gains less than the correlation.

    Args:
      members: the traces of each model, in any order.

    Raises:
      ConfigError: if the models predicted different people, or if annotations differ.
    """
    first, *others = [
        {(trace.split, trace.session, trace.role): trace for trace in member}
        for member in members
    ]
    for other in others:
        if first.keys() != other.keys():
            missing = first.keys() ^ other.keys()
            names = sorted("/".join(key[1:]) for key in missing)
            raise ConfigError(
                f"`--ensemble`: expected the same people from every workdir, but only "
                f"some predicted {', '.join(names[:3])}. Choose one corpus with --root."
            )
        for key, trace in first.items():
            if not np.array_equal(trace.label, other[key].label, equal_nan=True):
                raise ConfigError(
                    f"`--ensemble`: the annotations of {'/'.join(key[1:])} differ "
                    f"between the workdirs. Choose one corpus with --root."
                )
    return [
        _mean_trace([trace, *(other[key] for other in others)])
        for key, trace in first.items()
    ]


def _mean_trace(traces: Sequence[Trace]) -> Trace:
    """Averages the predictions for one person, or the probabilities of classes."""
    first = traces[0]
    if first.classes:
        probabilities = [trace.class_probabilities() for trace in traces]
        return first.with_probabilities(_mean(probabilities))
    prediction = _mean([trace.prediction for trace in traces])
    return dataclasses.replace(first, prediction=prediction)


def _mean(values: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(values).mean(axis=0, dtype=np.float64).astype(np.float32)
