"""Parts that every system shares: reading a batch, and the answer to it.

A batch holds features at their native rates. A system works on one sequence for each
person and feature, at its own frame rate. Its answer is read at the times of the
labels.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Bool, Float
from damamba_jax.config.sections import DataConfig, FeatureConfig
from damamba_jax.models.layers import (
    Draws,
    Linear,
    interpolate,
    normal,
    session_scale,
    standardize,
)

# Arrays of a batch, as `schema/batch.py` lists them.
Batch = dict[str, Any]
# `(center, inverse_scale)` of each feature, both [dim].
Statistics = Mapping[str, Any]


class Output(NamedTuple):
    """Answer of a system to one batch.

    Attributes:
      score: engagement in [0, 1] at the label times, float32 [B, Tl]. If there are
        classes, the log-probability of each class, [B, Tl, K].
      alignment: the target's embeddings of each group for the alignment loss, float32
        [B, T, A]. It is empty for systems that are trained without this loss.
      group_valid: for each group of `alignment`, the frames at which the target has at
        least one of the group's features, bool [B, T].
      group_scores: the scores by each group alone, [V, B, Tl (K)], or None unless the
        system keeps the modality groups apart. The loss then trains these scores.
        `score` mixes them, and only the weights of the mixture learn from `score`.
    """

    score: Float[Array, "B Tl *K"]
    alignment: dict[str, Float[Array, "B T A"]]
    group_valid: dict[str, Bool[Array, "B T"]]
    group_scores: Float[Array, "V B Tl *K"] | None = None


class FeatureInput(nnx.Module):
    """Standardises one feature, projects it at its native rate, and interpolates.

    Projection and linear interpolation commute. Projecting first gives the same numbers
    from a quarter of the rows, for streams of 25 Hz and a model of 100 Hz. A learned
    vector stands for the frames at which the feature is missing.
    """

    def __init__(
        self, feature: FeatureConfig, dim: int, *, dtype: DTypeLike, rng: Draws
    ) -> None:
        self.missing_value = feature.missing_value
        self.dtype = dtype
        self.project = Linear(feature.dim, dim, dtype=dtype, bias=True, rng=rng)
        self.missing = normal(rng, (dim,), scale=0.02)

    def __call__(
        self,
        x: Float[Array, "B Tn F"],
        valid: Bool[Array, "B Tn"],
        positions: Float[Array, "B T"],
        center: Float[Array, "*r F"],
        inverse_scale: Float[Array, "*r F"],
    ) -> tuple[Float[Array, "B T C"], Bool[Array, "B T"]]:
        """Returns the sequence, and the frames at which the feature is present."""
        x, valid = standardize(x, valid, center, inverse_scale, self.missing_value)
        x, valid = interpolate(self.project(x.astype(self.dtype)), valid, positions)
        missing = self.missing[...].astype(x.dtype)[None, None]
        return jnp.where(valid[..., None], x, missing), valid


class Reader(nnx.Module):
    """A module that reads one sequence for each person and feature of a batch.

    Args:
      data: the frame rate and the normalization of the batches.
    """

    def __init__(self, data: DataConfig) -> None:
        self.frame_hz = data.window.frame_hz
        self.session_statistics = data.normalization == "session"

    def read_people(
        self,
        inputs: Mapping[str, FeatureInput],
        batch: Mapping[str, Any],
        statistics: Mapping[str, Any],
        *,
        first: int,
        last: int,
        num_frames: int,
    ) -> tuple[dict[str, Float[Array, "BP T C"]], dict[str, Bool[Array, "BP T"]]]:
        """Reads people `first` to `last - 1` of a batch: one sequence per feature.

        With `session_statistics`, features are standardised by the statistics of their
        own recording, which are in the batch, combined with those of the training
        split.

        Args:
          inputs: the input of each feature.
          batch: the arrays that `schema/batch.py` lists.
          statistics: `(center, inverse_scale)` of each feature, both [dim].
          first: the first person; 0 is the target.
          last: the number of the last person, plus 1.
          num_frames: the number of frames of the sequences.

        Returns:
          For each feature, the sequences and the frames at which the feature is
          present. The people of one window are neighbouring rows.
        """

        def flatten(x: Array) -> Array:
            x = x[:, first:last]
            return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])

        time = jnp.arange(num_frames, dtype=jnp.float32) / jnp.float32(self.frame_hz)
        sequences, valid = {}, {}
        for name, feature in inputs.items():
            start = flatten(batch["first_time"][name])
            rate = flatten(batch["rate"][name])
            scale = statistics[name]
            if self.session_statistics:
                own = flatten(batch["session_statistics"][name])
                scale = session_scale(own, *scale)
            sequences[name], valid[name] = feature(
                flatten(batch["features"][name]),
                flatten(batch["feature_valid"][name]),
                (time[None] - start[:, None]) * rate[:, None],
                *scale,
            )
        return sequences, valid


class System(Reader):
    """A model as the rest of the package sees it. Each system defines `estimate`."""

    def __call__(
        self,
        batch: Mapping[str, Any],
        statistics: Mapping[str, Any],
        *,
        num_frames: int,
        key: Array | None = None,
    ) -> Output:
        """Estimates the target's engagement.

        Args:
          batch: the arrays that `schema/batch.py` lists.
          statistics: `(center, inverse_scale)` of each feature, both [dim].
          num_frames: the number of frames of the window.
          key: the random key of dropout; `None` outside of training.
        """
        arrays = jax.tree.map(jnp.asarray, dict(batch))
        scales = jax.tree.map(jnp.asarray, dict(statistics))
        return self.estimate(arrays, scales, num_frames, key)

    def estimate(
        self, batch: Batch, statistics: Statistics, num_frames: int, key: Array | None
    ) -> Output:
        """Computes the answer. The arguments are those of `__call__`, as JAX arrays."""
        raise NotImplementedError(f"{type(self).__name__} has no `estimate`.")


def at_labels(
    hidden: Float[Array, "B T C"], label_time: Float[Array, "B Tl"], *, frame_hz: float
) -> Float[Array, "B Tl C"]:
    """Interpolates frames at the times of the labels, which have their own rate."""
    valid = jnp.ones(hidden.shape[:2], bool)
    return interpolate(hidden, valid, label_time * jnp.float32(frame_hz))[0]


def group_names(features: tuple[FeatureConfig, ...]) -> dict[str, tuple[str, ...]]:
    """Returns the names of each modality group's features, in order of appearance."""
    groups: dict[str, tuple[str, ...]] = {}
    for feature in features:
        groups[feature.group] = (*groups.get(feature.group, ()), feature.name)
    return groups
