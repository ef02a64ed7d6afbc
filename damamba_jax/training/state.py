"""The state of a training run."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from damamba_jax.array_types import Array, Int
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import Params


class TrainState(NamedTuple):
    """Everything that the next step depends on, besides the data.

    Attributes:
      step: the number of consumed batches, which is also the position in the data.
      params: the trained parameters.
      average: the moving average of the parameters, which evaluation uses.
      opt_state: the state of the optimizer.
      rng: the data of the run's random key; step t draws from `fold_in(rng, t)`.
      skipped: the number of steps without an update, because the loss or a gradient was
        not finite.
      bad_steps: how many of the last steps in a row had no update.
    """

    step: Int[Array, ""]
    params: FlatParams
    average: FlatParams
    opt_state: Any
    rng: Array
    skipped: Int[Array, ""]
    bad_steps: Int[Array, ""]


def create(
    params: Params, optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
    """Makes the state before the first step.

    Args:
      params: the parameters, as `split_model` returns them.
      optimizer: the optimizer, which makes its own state.
      seed: the seed of the run's random key.
    """
    zero = jnp.zeros((), jnp.int32)
    flat = jax.tree.map(jnp.asarray, FlatParams.from_tree(params))
    return TrainState(
        step=zero,
        params=flat,
        # This is a copy, because a step gives up the memory of its input, and the same
        # memory cannot be given up twice.
        average=jax.tree.map(jnp.copy, flat),
        # One program instead of one for each array.
        opt_state=jax.jit(optimizer.init)(flat),
        rng=jax.random.key_data(jax.random.key(seed)),
        skipped=jnp.copy(zero),
        bad_steps=jnp.copy(zero),
    )
