"""The loss of a batch, which a training step minimises."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from damamba_jax.array_types import Array, Float
from damamba_jax.config.sections import DataConfig, OptimConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.config.window import WindowConfig
from damamba_jax.models.functional import Params, Statistics, forward
from damamba_jax.models.inputs import Output
from damamba_jax.training import losses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """Everything that the loss of a batch depends on besides the model.

    Args:
      window: the length and the core of the windows.
      optim: the names of the losses, and their weights.
      block_frames: the length of a block of frames. InfoNCE looks for the negatives of
        a frame in the frame's own block.
      min_distance: the number of frames between a frame and its nearest negative.
        Nearer frames are copies of the same native frame.
    """

    window: WindowConfig
    optim: OptimConfig
    block_frames: int
    min_distance: int


def make_objective(
    data: DataConfig, model: SystemConfig, optim: OptimConfig
) -> Objective:
    """Makes the objective from the sections of a configuration."""
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

    `ccc` is the term of the score; for classes it is `cross_entropy`. With late fusion
    there is also `group_ccc` or `group_cross_entropy`, the mean over the groups' own
    scores, and both terms are trained.
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
    """Computes InfoNCE of the core frames, and its value under perfect alignment."""
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
    """Compares scores with labels by the configured CCC or cross-entropy.

    The rated frames of the core count. With `context_weight` the rated frames outside
    of the core count too.

    Args:
      objective: the objective. Its `optim` names the loss and the weights of frames.
      score: one score for each label, or the log-probabilities of classes.
      batch: the arrays that `schema/batch.py` lists.
    """
    optim, core = objective.optim, batch["label_core"]
    weight, mask = None, batch["label_valid"] & core
    if optim.center_sigma or optim.context_weight:
        window = objective.window
        # `frame_weights` puts its Gaussian in the middle of a window. The shift moves
        # it to the middle of the core.
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
