"""What every system shares: how it reads a batch, and what it answers.

A batch holds features at their native rates; a system works on one sequence per person
and feature, at its own frame rate, and is read out at the times of the labels.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx

from damamba_jax.array_types import Array, Bool, Float
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.models.layers import (
    Draws,
    Linear,
    interpolate,
    normal,
    session_scale,
    standardize,
)


class Output(NamedTuple):
    """What a system says about one batch.

    Attributes:
      score: engagement in [0, 1] at the label times, float32 [B, Tl].
      alignment: per group, the target's embeddings for the alignment loss, float32
        [B, T, A]; empty for systems that are trained without it.
      group_valid: per group of `alignment`, frames at which the target has at least
        one of its features, bool [B, T].
      group_scores: of a system that keeps modality groups apart, as `score` by each of
        them alone, [V, B, Tl]. They are what is trained then; `score` mixes them, and
        only its weights learn from it.
    """

    score: Float[Array, "B Tl"]
    alignment: dict[str, Float[Array, "B T A"]]
    group_valid: dict[str, Bool[Array, "B T"]]
    group_scores: Float[Array, "V B Tl"] | None = None


class FeatureInput(nnx.Module):
    """One feature: standardise, project at its native rate, interpolate.

    Projection and linear interpolation commute, so projecting first gives the same
    numbers from a quarter of the rows (25 Hz streams, 100 Hz model). Frames at which
    the feature is missing are a learned vector.
    """

    def __init__(self, feature: FeatureConfig, dim: int, *, dtype, rng: Draws):
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
        x, valid = standardize(x, valid, center, inverse_scale, self.missing_value)
        x, valid = interpolate(self.project(x.astype(self.dtype)), valid, positions)
        missing = self.missing[...].astype(x.dtype)[None, None]
        return jnp.where(valid[..., None], x, missing), valid


def read_people(
    inputs: Mapping[str, FeatureInput],
    batch: dict[str, Any],
    statistics: Mapping[str, Any],
    *,
    first: int,
    last: int,
    num_frames: int,
    frame_hz: float,
    session_statistics: bool,
) -> tuple[dict[str, Float[Array, "BP T C"]], dict[str, Bool[Array, "BP T"]]]:
    """Reads people `first` to `last - 1` of a batch: one sequence per feature.

    Args:
      inputs: per feature.
      batch: of `schema/batch.py`.
      statistics: per feature `(center, inverse_scale)`, each [dim].
      first, last: people; 0 is the target.
      num_frames: of the sequences.
      frame_hz: their rate.
      session_statistics: features are standardised by the statistics of their own
        recording, which are in the batch, on top of those of the training split.

    Returns:
      Per feature, the sequences and the frames at which it is there. A window's people
      are neighbouring rows.
    """

    def flatten(x):
        x = x[:, first:last]
        return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])

    time = jnp.arange(num_frames, dtype=jnp.float32) / jnp.float32(frame_hz)
    sequences, valid = {}, {}
    for name, feature in inputs.items():
        start = flatten(batch["first_time"][name])
        rate = flatten(batch["rate"][name])
        scale = statistics[name]
        if session_statistics:
            scale = session_scale(flatten(batch["session_statistics"][name]), *scale)
        sequences[name], valid[name] = feature(
            flatten(batch["features"][name]),
            flatten(batch["feature_valid"][name]),
            (time[None] - start[:, None]) * rate[:, None],
            *scale,
        )
    return sequences, valid


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
