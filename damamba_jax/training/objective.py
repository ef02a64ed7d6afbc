"""Loss of a batch: what a training step minimises."""

import jax.numpy as jnp

from damamba_jax.array_types import Array, Float
from damamba_jax.config.sections import Config
from damamba_jax.models.functional import Params, Statistics, forward
from damamba_jax.training import losses


def loss_function(
    config: Config, graphdef, params: Params, statistics: Statistics, batch, key
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Weighted sum of the losses, and the terms by name.

    `ccc` is that of the score; `group_ccc`, of late fusion alone, the mean of what the
    groups score, which is then trained beside it.
    """
    window = config.data.window
    output = forward(
        graphdef, params, batch, statistics, num_frames=window.window_frames, key=key
    )
    ccc = concordance(config, output.score, batch)
    terms = {"ccc": ccc}
    loss = config.optim.ccc_weight * (1.0 - ccc)
    if output.group_scores is not None:
        each = jnp.stack([concordance(config, s, batch) for s in output.group_scores])
        terms["group_ccc"] = jnp.mean(each)
        loss += config.optim.ccc_weight * (1.0 - terms["group_ccc"])
    if config.optim.infonce_weight:
        terms["infonce"], terms["infonce_aligned"] = _alignment_loss(config, output)
        loss += config.optim.infonce_weight * terms["infonce"]
    return loss, {"loss": loss, **terms}


def _alignment_loss(
    config: Config, output
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """InfoNCE of the core frames, and what perfect alignment would leave of it."""
    window = config.data.window
    num_frames = next(iter(output.alignment.values())).shape[1]
    frame = jnp.arange(num_frames)
    native = min(feature.rate for feature in config.data.features)
    return losses.infonce(
        output.alignment,
        output.group_valid,
        (frame >= window.context_frames)
        & (frame < window.context_frames + window.core_frames),
        block_frames=config.model.chunk_frames,
        min_distance=max(1, round(window.frame_hz / native)),
        temperature=config.optim.infonce_temperature,
    )


def concordance(config: Config, score, batch) -> Float[Array, ""]:
    """Computes the configured CCC of scores, over rated core frames or all rated ones.

    Args:
      config: `optim` says which CCC, and what frames weigh.
      score: [B, Tl], one per label.
      batch: of `schema/batch.py`.
    """
    ccc = {"ccc": losses.ccc, "ccc-window": losses.window_ccc}[config.optim.loss]
    core = batch["label_core"]
    if not (config.optim.center_sigma or config.optim.context_weight):
        return ccc(score, batch["label"], batch["label_valid"] & core)
    weight = losses.frame_weights(
        batch["label_time"],
        core,
        window_seconds=config.data.window.window_seconds,
        center_sigma=config.optim.center_sigma,
        context_weight=config.optim.context_weight,
    )
    return ccc(score, batch["label"], batch["label_valid"] & (weight > 0), weight)
