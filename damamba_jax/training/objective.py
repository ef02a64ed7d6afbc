"""Loss of a batch: what a training step minimises."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from damamba_jax.array_types import Array, Float
from damamba_jax.config.sections import DataConfig, OptimConfig, WindowConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.models.functional import Params, Statistics, forward
from damamba_jax.models.inputs import Output
from damamba_jax.training import losses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """Everything that the loss of a batch depends on besides the model.

    Args:
      window: length and core of the windows.
      optim: which losses, and their weights.
      block_frames: frames among which a frame's negatives are found, for InfoNCE.
      min_distance: frames between a frame and its nearest negative: less are copies of
        the same native frame.
    """

    window: WindowConfig
    optim: OptimConfig
    block_frames: int
    min_distance: int


def make_objective(
    data: DataConfig, model: SystemConfig, optim: OptimConfig
) -> Objective:
    """Takes from the sections of a configuration what the loss depends on."""
    native_hz = min(feature.rate for feature in data.features)
    return Objective(
        window=data.window,
        optim=optim,
        block_frames=model.frame_multiple,
        min_distance=max(1, round(data.window.frame_hz / native_hz)),
    )


def loss_function(
    objective: Objective,
    graphdef: nnx.GraphDef,
    params: Params,
    statistics: Statistics,
    batch: Mapping[str, Any],
    key: Array | None,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Computes the weighted sum of the losses, and the terms by name.

    `ccc` is that of the score; `group_ccc`, of late fusion alone, the mean of what the
    groups score, which is then trained beside it.
    """
    frames, optim = objective.window.window_frames, objective.optim
    output = forward(graphdef, params, batch, statistics, num_frames=frames, key=key)
    ccc = concordance(objective, output.score, batch)
    terms = {"ccc": ccc}
    loss = optim.ccc_weight * (1.0 - ccc)
    if output.group_scores is not None:
        scores = output.group_scores
        each = jnp.stack([concordance(objective, s, batch) for s in scores])
        terms["group_ccc"] = jnp.mean(each)
        loss += optim.ccc_weight * (1.0 - terms["group_ccc"])
    if optim.infonce_weight:
        terms["infonce"], terms["infonce_aligned"] = _alignment_loss(objective, output)
        loss += optim.infonce_weight * terms["infonce"]
    return loss, {"loss": loss, **terms}


def _alignment_loss(
    objective: Objective, output: Output
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes InfoNCE of the core frames, and what perfect alignment leaves of it."""
    window = objective.window
    num_frames = next(iter(output.alignment.values())).shape[1]
    frame = jnp.arange(num_frames)
    return losses.infonce(
        output.alignment,
        output.group_valid,
        (frame >= window.context_frames)
        & (frame < window.context_frames + window.core_frames),
        block_frames=objective.block_frames,
        min_distance=objective.min_distance,
        temperature=objective.optim.infonce_temperature,
    )


def concordance(
    objective: Objective, score: Float[Array, "B Tl"], batch: Mapping[str, Any]
) -> Float[Array, ""]:
    """Computes the configured CCC of scores, over rated core frames or all rated ones.

    Args:
      objective: its `optim` says which CCC, and what frames weigh.
      score: one per label.
      batch: a batch of `schema/batch.py`.
    """
    optim = objective.optim
    ccc = {
        "ccc": losses.ccc,
        "ccc-window": losses.window_ccc,
        "ccc-mean": losses.mean_ccc,
    }[optim.loss]
    core = batch["label_core"]
    if not (optim.center_sigma or optim.context_weight):
        return ccc(score, batch["label"], batch["label_valid"] & core)
    weight = losses.frame_weights(
        batch["label_time"],
        core,
        window_seconds=objective.window.window_seconds,
        center_sigma=optim.center_sigma,
        context_weight=optim.context_weight,
    )
    return ccc(score, batch["label"], batch["label_valid"] & (weight > 0), weight)
