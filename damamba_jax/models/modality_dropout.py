"""Modality dropout: in training, whole groups of features are marked as missing."""

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

    For each window and person, one group is drawn uniformly among the n groups that
    have data, and is spared. Each other group is dropped with probability
    `group_rate n / (n - 1)`. A group is thus dropped with probability `group_rate`, and
    never are all groups dropped. One feature of the spared group is drawn in the same
    way and is spared too. Each other feature is dropped with probability
    `feature_rate`.

    To the model a dropped feature looks as if it had no file: a learned vector stands
    for it, and the alignment loss skips it.

    Args:
      feature_valid: for each feature, the frames that have a sample.
      groups: the names of the features of each group.
      key: the random key of the draws.
      group_rate: the probability that a group is dropped, at most 0.5.
      feature_rate: the probability that a feature is dropped, below 1.
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
    """Draws one candidate in each row uniformly and marks it.

    A row without candidates gets its first entry marked.
    """
    draws = jax.random.uniform(key, candidates.shape)
    best = jnp.argmax(jnp.where(candidates, draws, -1.0), axis=-1)
    return jax.nn.one_hot(best, candidates.shape[-1], dtype=bool)
