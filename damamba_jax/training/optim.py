"""AdamW with warm-up and cosine decay, and the moving average of parameters."""

import dataclasses
from typing import Any, TypeVar, cast

import jax.numpy as jnp
import optax

from damamba_jax.array_types import Array
from damamba_jax.config.sections import OptimConfig

T = TypeVar("T")


def learning_rate(config: OptimConfig, steps: int) -> optax.Schedule:
    """Returns a linear warm-up from 0, and then a cosine down to `final_lr_fraction`.

    Args:
      config: the optimizer's configuration.
      steps: the number of steps of the run.
    """
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.lr,
        warmup_steps=min(config.warmup_steps, steps - 1),
        decay_steps=steps,
        end_value=config.lr * config.final_lr_fraction,
    )


def optimizer(config: OptimConfig, steps: int) -> optax.GradientTransformation:
    """Returns AdamW behind clipping by the global norm, for `FlatParams`.

    Weight decay acts on projections only.

    Args:
      config: the optimizer's configuration.
      steps: the number of steps of the run.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            learning_rate(config, steps),
            b1=config.b1,
            b2=config.b2,
            weight_decay=config.weight_decay,
            mask=_decaying,
        ),
    )


def _decaying(params: Any) -> Any:
    return dataclasses.replace(params, projections=True, others=False)


def update_average(average: T, params: T, decay: float, step: Array) -> T:
    """Moves the average towards `params`, with decay `min(decay, (1 + t) / (10 + t))`.

    The first averages thus follow the parameters quickly and forget the random start.

    Args:
      average: the average of the parameters so far.
      params: the new parameters.
      decay: the share of the average that is kept.
      step: t, the number of finished optimizer steps.
    """
    t = step.astype(jnp.float32)
    kept = jnp.minimum(jnp.float32(decay), (1.0 + t) / (10.0 + t))
    # Optax takes any tree, but has no type for any tree.
    new, old = cast(optax.Params, params), cast(optax.Params, average)
    return cast(T, optax.incremental_update(new, old, 1.0 - kept))
