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

    `ccc`, or `cross_entropy` for classes, is that of the score; `group_ccc` and the
    like, of late fusion alone, the mean of what the groups score, which is then trained
    beside it.
    """
    frames, optim = objective.window.window_frames, objective.optim
    output = forward(graphdef, params, batch, statistics, num_frames=frames, key=key)
    terms, loss = {}, jnp.float32(0.0)
    scores = {"": output.score[None]}
    if output.group_scores is not None:
        scores["group_"] = output.group_scores
    for prefix, views in scores.items():
        each = jnp.stack([compare(objective, view, batch) for view in views])
        value = jnp.mean(each)
        if optim.loss.startswith("cross-entropy"):
            terms[f"{prefix}cross_entropy"] = value
        else:
            terms[f"{prefix}ccc"] = value
            value = 1.0 - value
        loss += optim.ccc_weight * value
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
        (frame >= window.past_frames)
        & (frame < window.past_frames + window.core_frames),
        block_frames=objective.block_frames,
        min_distance=objective.min_distance,
        temperature=objective.optim.infonce_temperature,
    )


def compare(
    objective: Objective, score: Float[Array, "B Tl *K"], batch: Mapping[str, Any]
) -> Float[Array, ""]:
    """Compares scores with labels: the configured CCC or cross-entropy.

    It counts rated frames of the core, or all rated ones.

    Args:
      objective: its `optim` says which one, and what frames weigh.
      score: one per label; or the log-probabilities of classes.
      batch: a batch of `schema/batch.py`.
    """
    optim, core = objective.optim, batch["label_core"]
    weight, mask = None, batch["label_valid"] & core
    if optim.center_sigma or optim.context_weight:
        window = objective.window
        # Made for the middle of a window; here it is that of the core.
        offset = (window.past_frames - window.future_frames) / 2 / window.frame_hz
        weight = losses.frame_weights(
            batch["label_time"] - jnp.float32(offset),
            core,
            window_seconds=window.window_seconds,
            center_sigma=optim.center_sigma,
            context_weight=optim.context_weight,
        )
        mask = batch["label_valid"] & (weight > 0)
    args = (score, batch["label"], mask)
    match optim.loss:
        case "ccc":
            return losses.ccc(*args, weight)
        case "ccc-window":
            return losses.window_ccc(*args, weight)
        case "ccc-mean":
            return losses.mean_ccc(*args, weight)
    balance = batch["label_weight"] ** optim.class_balance
    weight = balance if weight is None else balance * weight
    if optim.loss == "cross-entropy":
        return losses.cross_entropy(*args, weight)
    return losses.mean_cross_entropy(*args, weight)
