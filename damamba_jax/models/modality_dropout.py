"""Modality dropout: in training, whole groups of features go missing."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from damamba_jax.array_types import Array, Bool


def drop_modalities(
    feature_valid: Mapping[str, Bool[Array, "B P _"]],
    groups: Mapping[str, Sequence[str]],
    key: Array,
    *,
    group_rate: float,
    feature_rate: float,
) -> dict[str, Bool[Array, "B P _"]]:
    """Marks groups and single features of each person as missing for a whole window.

    Per window and person, one group is spared, drawn uniformly among the n that have
    data there; each other one is dropped with probability `group_rate n / (n - 1)`. So
    each is dropped with probability `group_rate`, and never all of them. One feature of
    the spared group, drawn in the same way, is spared as well; each other feature is
    dropped with probability `feature_rate`.

    A feature that is dropped looks to the model as if it had no file: its learned
    vector stands in, and alignment skips it.

    Args:
      feature_valid: per feature, frames with a sample.
      groups: names of the features of each group.
      key: key of the draws.
      group_rate: probability for a group, at most 0.5.
      feature_rate: probability for a feature, below 1.
    """
    keys = jax.random.split(key, 4)
    present = {name: jnp.any(valid, axis=-1) for name, valid in feature_valid.items()}
    group_present = jnp.stack(
        [
            jnp.any(jnp.stack([present[name] for name in names]), axis=0)
            for names in groups.values()
        ],
        axis=-1,
    )
    spared_group = _choose(keys[0], group_present)
    num = jnp.sum(group_present, axis=-1, keepdims=True).astype(jnp.float32)
    rate = group_rate * num / jnp.maximum(num - 1.0, 1.0)
    drop_group = jax.random.uniform(keys[1], group_present.shape) < rate
    drop_group &= ~spared_group

    dropped = {}
    for index, names in enumerate(groups.values()):
        spare_key, drop_key = (jax.random.fold_in(k, index) for k in keys[2:])
        there = jnp.stack([present[name] for name in names], axis=-1)
        spared = _choose(spare_key, there) & spared_group[..., index : index + 1]
        drop = jax.random.bernoulli(drop_key, feature_rate, there.shape) & ~spared
        drop |= drop_group[..., index : index + 1]
        dropped |= {name: drop[..., i] for i, name in enumerate(names)}
    return {
        name: valid & ~dropped[name][..., None] for name, valid in feature_valid.items()
    }


def _choose(key: Array, candidates: Bool[Array, "B P G"]) -> Bool[Array, "B P G"]:
    """Marks one candidate in each row, drawn uniformly; any one if there is none."""
    draws = jax.random.uniform(key, candidates.shape)
    best = jnp.argmax(jnp.where(candidates, draws, -1.0), axis=-1)
    return jax.nn.one_hot(best, candidates.shape[-1], dtype=bool)
