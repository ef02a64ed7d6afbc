"""Fusion of modality groups within a person, and of partners around the target."""

import einops
import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Bool, Float, Int
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.models.attention import ChunkedAttention
from damamba_jax.models.blocks import Stack
from damamba_jax.models.layers import Draws, Linear, Norm, constant, normal


class ModalityGroup(nnx.Module):
    """Runs a stack over a group's concatenated features and projects back to `dim`."""

    def __init__(
        self,
        config: DAMambaConfig,
        num_features: int,
        blocks: int,
        *,
        dtype: DTypeLike,
        rng: Draws,
    ) -> None:
        width = num_features * config.dim
        self.stack = Stack(config, width, blocks, dtype=dtype, rng=rng)
        self.norm = Norm(width)
        self.out = Linear(width, config.dim, dtype=dtype, rng=rng)

    def __call__(
        self, features: list[Float[Array, "B T C"]], key: Array | None = None
    ) -> Float[Array, "B T C"]:
        x = self.stack(jnp.concatenate(features, axis=-1), key)
        return self.out(self.norm(x))


class ModalityFusion(nnx.Module):
    """Light cross-attention between one person's groups, then a joint projection.

    With `modality_fusion=False` there is late fusion instead: each group is trained to
    score by itself, and learned weights mix the logits. Any earlier step would fuse the
    groups after all. Blocks behind a sum of embeddings fuse them. Groups that are
    trained through a sum of their logits learn to cancel each other's errors.
    """

    def __init__(
        self, config: DAMambaConfig, groups: list[str], *, dtype: DTypeLike, rng: Draws
    ) -> None:
        self.fuse = config.modality_fusion and len(groups) > 1
        self.norms = nnx.Dict({group: Norm(config.dim) for group in groups})
        if len(groups) == 1:
            return
        if not self.fuse:
            self.weights = constant((len(groups),), 1 / len(groups))
            return
        self.attention = nnx.Dict(
            {
                group: ChunkedAttention(
                    config.dim,
                    num_heads=config.num_heads,
                    chunk_frames=config.chunk_frames,
                    causal=config.direction == "forward",
                    dtype=dtype,
                    rng=rng,
                )
                for group in groups
            }
        )
        self.joint = Linear(len(groups) * config.dim, config.dim, dtype=dtype, rng=rng)

    def __call__(
        self, embeddings: dict[str, Float[Array, "B T C"]]
    ) -> list[Float[Array, "B T C"]]:
        """Returns the views that the rest of the model sees.

        There is one view of all groups, or one view for each group in late fusion.
        """
        normed = {group: self.norms[group](x) for group, x in embeddings.items()}
        if not self.fuse:
            return list(normed.values())
        fused = []
        for group, x in embeddings.items():
            others = jnp.stack([y for name, y in normed.items() if name != group], 1)
            fused.append(x + self.attention[group](normed[group], others))
        return [self.joint(jnp.concatenate(fused, axis=-1))]

    def mix(self, logits: Float[Array, "V B T W"]) -> Float[Array, "B T W"]:
        """Mixes the logits of all views into those of one view.

        If there are several views, only the weights of the mixture learn from it.
        """
        if len(logits) == 1:
            return logits[0]
        return jnp.tensordot(self.weights[...], jax.lax.stop_gradient(logits), axes=1)


class PartnerFusion(nnx.Module):
    """Runs the partners' sequences through one context stack.

    Each partner's sequence gets the embedding of its slot. `"concatenated"` puts the
    partners one after the other along the frame axis, as the paper does.
    `"interleaved"` alternates them frame by frame, so that a causal stack sees nobody's
    future. Absent partners enter as zeros and are never attended to. A bidirectional
    stack can still tell how many seats are empty.
    """

    def __init__(self, config: DAMambaConfig, *, dtype: DTypeLike, rng: Draws) -> None:
        self.order = config.partner_order
        self.slots = normal(rng, (config.max_participants, config.dim), scale=0.02)
        self.stack = Stack(
            config, config.dim, config.context_blocks, dtype=dtype, rng=rng
        )
        self.norm = Norm(config.dim)

    def __call__(
        self,
        partners: Float[Array, "B S T C"],
        valid: Bool[Array, "B S"],
        slots: Int[Array, "B S"],
        key: Array | None = None,
    ) -> Float[Array, "B S T C"]:
        num_partners = partners.shape[1]
        x = partners + self.slots[...][slots][:, :, None].astype(partners.dtype)
        x = x * valid[:, :, None, None].astype(x.dtype)
        pattern = "(s t)" if self.order == "concatenated" else "(t s)"
        x = einops.rearrange(x, f"b s t c -> b {pattern} c")
        x = self.norm(self.stack(x, key))
        return einops.rearrange(x, f"b {pattern} c -> b s t c", s=num_partners)


class DialogueEncoder(nnx.Module):
    """Lets the target attend to the partners' context, and applies hybrid blocks.

    Without partner fusion there is no cross-attention. `dialogue_dim` can then widen
    the blocks to make up for the removed parameters.
    """

    def __init__(self, config: DAMambaConfig, *, dtype: DTypeLike, rng: Draws) -> None:
        width = config.dialogue_dim or config.dim
        self.attention_norm = Norm(config.dim) if config.partner_fusion else None
        self.attention = (
            ChunkedAttention(
                config.dim,
                num_heads=config.num_heads,
                chunk_frames=config.chunk_frames,
                causal=config.direction == "forward",
                null_token=True,
                dtype=dtype,
                rng=rng,
            )
            if config.partner_fusion
            else None
        )
        self.widen = (
            Linear(config.dim, width, dtype=dtype, rng=rng)
            if width != config.dim
            else None
        )
        self.stack = Stack(config, width, config.dialogue_blocks, dtype=dtype, rng=rng)
        self.norm = Norm(width)
        self.out_dim = width

    def __call__(
        self,
        target: Float[Array, "B T C"],
        context: Float[Array, "B S T C"] | None,
        context_valid: Bool[Array, "B S"] | None,
        key: Array | None = None,
    ) -> Float[Array, "B T E"]:
        x = target
        norm, attention = self.attention_norm, self.attention
        if norm is not None and attention is not None and context is not None:
            x = x + attention(norm(x), context, context_valid)
        if self.widen is not None:
            x = self.widen(x)
        return self.norm(self.stack(x, key))
