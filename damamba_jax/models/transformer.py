"""The Transformer over one window that DAT consists of."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Bool, Float
from damamba_jax.config.systems import DATConfig
from damamba_jax.models.attention import ChunkedAttention
from damamba_jax.models.blocks import run_blocks
from damamba_jax.models.layers import (
    Draws,
    Dropout,
    LayerNorm,
    Linear,
    normal,
    split_key,
)


class Block(nnx.Module):
    """Pre-norm Transformer block: attention over a whole window, then feed-forward.

    The block attends to the sequence itself, or to the partners if they are given.
    """

    def __init__(
        self,
        config: DATConfig,
        dim: int,
        *,
        head_dim: int,
        ffn_dim: int,
        dtype: DTypeLike,
        rng: Draws,
    ) -> None:
        self.attention_norm, self.ffn_norm = LayerNorm(dim), LayerNorm(dim)
        self.attention = ChunkedAttention(
            dim,
            num_heads=config.num_heads,
            head_dim=head_dim,
            chunk_frames=0,
            causal=False,
            out_bias=True,
            dtype=dtype,
            rng=rng,
        )
        self.up = Linear(dim, ffn_dim, dtype=dtype, bias=True, rng=rng)
        self.down = Linear(ffn_dim, dim, dtype=dtype, bias=True, rng=rng)
        self.dropout = Dropout(config.dropout)

    def __call__(
        self,
        x: Float[Array, "B T C"],
        key: Array | None = None,
        partners: Float[Array, "B S T C"] | None = None,
        partner_valid: Bool[Array, "B S"] | None = None,
    ) -> Float[Array, "B T C"]:
        key_attention, key_ffn = split_key(key, 2)
        y = self.attention(self.attention_norm(x), partners, partner_valid)
        if partner_valid is not None:
            # If all partners are absent, the softmax over them is still not zero.
            y = jnp.where(jnp.any(partner_valid, axis=1)[:, None, None], y, 0)
        x = x + self.dropout(y, key_attention)
        y = self.down(jax.nn.gelu(self.up(self.ffn_norm(x))))
        return x + self.dropout(y, key_ffn)


class Transformer(nnx.Module):
    """Adds learned positions and applies blocks of one width."""

    def __init__(
        self,
        config: DATConfig,
        dim: int,
        num_blocks: int,
        *,
        window_frames: int,
        head_dim: int,
        ffn_dim: int,
        dtype: DTypeLike,
        rng: Draws,
    ) -> None:
        self.positions = normal(rng, (window_frames, dim), scale=1.0)
        self.blocks = nnx.List(
            [
                Block(
                    config, dim, head_dim=head_dim, ffn_dim=ffn_dim, dtype=dtype,
                    rng=rng,
                )
                for _ in range(num_blocks)
            ]
        )  # fmt: skip
        self.remat = config.remat

    def __call__(
        self,
        x: Float[Array, "B T C"],
        key: Array | None = None,
        partners: Float[Array, "B S T C"] | None = None,
        partner_valid: Bool[Array, "B S"] | None = None,
    ) -> Float[Array, "B T C"]:
        positions = self.positions[...].astype(x.dtype)[None]
        context = ()
        if partners is not None:
            context = (partners + positions[None], partner_valid)
        return run_blocks(
            list(self.blocks), x + positions, key, *context, remat=self.remat
        )
