"""Parts that every system shares: reading a batch, and the answer to it.

A batch holds features at their native rates; a system works on one sequence per person
and feature, at its own frame rate, and is read out at the times of the labels.
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
# Per feature: `(center, inverse_scale)`, each [dim].
Statistics = dict[str, Any]


class Output(NamedTuple):
    """Answer of a system to one batch.

    Attributes:
      score: engagement in [0, 1] at the label times, float32 [B, Tl]; of classes the
        log-probability of each, [B, Tl, K].
      alignment: per group, the target's embeddings for the alignment loss, float32
        [B, T, A]; empty for systems that are trained without it.
      group_valid: per group of `alignment`, frames at which the target has at least
        one of its features, bool [B, T].
      group_scores: the group scores of a system that keeps modality groups apart, as
        `score` by each of them alone, [V, B, Tl (K)]. They are what is trained then;
        `score` mixes them, and only its weights learn from it.
    """

    score: Float[Array, "B Tl *K"]
    alignment: dict[str, Float[Array, "B T A"]]
    group_valid: dict[str, Bool[Array, "B T"]]
    group_scores: Float[Array, "V B Tl *K"] | None = None


class FeatureInput(nnx.Module):
    """One feature: standardise, project at its native rate, interpolate.

    Projection and linear interpolation commute, so projecting first gives the same
    numbers from a quarter of the rows (25 Hz streams, 100 Hz model). Frames at which
    the feature is missing are a learned vector.
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
        """Returns the sequence, and the frames at which the feature is there."""
        x, valid = standardize(x, valid, center, inverse_scale, self.missing_value)
        x, valid = interpolate(self.project(x.astype(self.dtype)), valid, positions)
        missing = self.missing[...].astype(x.dtype)[None, None]
        return jnp.where(valid[..., None], x, missing), valid


class Reader(nnx.Module):
    """A module that reads people of a batch: one sequence per person and feature.

    Args:
      data: frame rate and normalization of the batches.
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
        own recording, which are in the batch, on top of those of the training split.

        Args:
          inputs: the input of each feature.
          batch: the arrays that `schema/batch.py` lists.
          statistics: per feature `(center, inverse_scale)`, each [dim].
          first: the first person; 0 is the target.
          last: the person behind the last one.
          num_frames: frames of the sequences.

        Returns:
          Per feature, the sequences and the frames at which it is there. A window's
          people are neighbouring rows.
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
    """A model as the rest of the package sees it; `estimate` is its own."""

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
          statistics: per feature `(center, inverse_scale)`, each [dim].
          num_frames: frames of the window.
          key: key of dropout; `None` outside training.
        """
        arrays = jax.tree.map(jnp.asarray, dict(batch))
        scales = jax.tree.map(jnp.asarray, dict(statistics))
        return self.estimate(arrays, scales, num_frames, key)

    def estimate(
        self, batch: Batch, statistics: Statistics, num_frames: int, key: Array | None
    ) -> Output:
        """Computes the answer; the arguments are those of a call, as arrays."""
        raise NotImplementedError(f"{type(self).__name__} estimates nothing.")


def at_labels(
    hidden: Float[Array, "B T C"], label_time: Float[Array, "B Tl"], *, frame_hz: float
) -> Float[Array, "B Tl C"]:
    """Reads frames at the times of the labels, which keep their own rate."""
    valid = jnp.ones(hidden.shape[:2], bool)
    return interpolate(hidden, valid, label_time * jnp.float32(frame_hz))[0]


def group_names(features: tuple[FeatureConfig, ...]) -> dict[str, tuple[str, ...]]:
    """Names of the features of each modality group, in order of appearance."""
    groups: dict[str, tuple[str, ...]] = {}
    for feature in features:
        groups[feature.group] = (*groups.get(feature.group, ()), feature.name)
    return groups
