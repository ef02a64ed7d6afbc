"""Centre and spread of each feature, in the form that models and checkpoints use."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.config.sections import FeatureConfig


class FeatureStatistics(NamedTuple):
    """Statistics for standardising a feature: `(x - center) * inverse_scale`.

    Attributes:
      center: the median of each column, [dim]. It also replaces missing entries.
      inverse_scale: 1 / spread of each column, [dim]; 0 for dropped and for constant
        columns.
    """

    center: Float[np.ndarray, "dim"]
    inverse_scale: Float[np.ndarray, "dim"]


def abstract_statistics(
    features: Sequence[FeatureConfig],
) -> dict[str, FeatureStatistics]:
    """Returns the shapes and types of the statistics of some features."""
    # JAX is imported late, because code that only reads data does not need it.
    import jax

    shapes: dict[str, Any] = {
        f.name: jax.ShapeDtypeStruct((f.dim,), np.float32) for f in features
    }
    return {name: FeatureStatistics(shape, shape) for name, shape in shapes.items()}


def to_arrays(
    statistics: Mapping[str, FeatureStatistics],
) -> dict[str, dict[str, np.ndarray]]:
    """Turns statistics into plain nested dicts of arrays, for checkpoints."""
    return {name: dict(value._asdict()) for name, value in statistics.items()}


def from_arrays(
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    features: Sequence[FeatureConfig],
) -> dict[str, FeatureStatistics]:
    """Makes statistics from the result of `to_arrays`.

    Raises:
      ValueError: if a feature is absent, or if its number of columns differs from the
        configuration.
    """
    statistics = {}
    for feature in features:
        if feature.name not in arrays:
            raise ValueError(
                f"`arrays`: expected statistics of {feature.name!r}, got only "
                f"{sorted(arrays)}."
            )
        value = FeatureStatistics(
            *(np.asarray(arrays[feature.name][k], np.float32)
              for k in FeatureStatistics._fields)
        )  # fmt: skip
        for key, array in value._asdict().items():
            if array.shape != (feature.dim,):
                raise ValueError(
                    f"`arrays[{feature.name!r}][{key!r}]`: expected shape "
                    f"({feature.dim},), got {array.shape}."
                )
        statistics[feature.name] = value
    return statistics
