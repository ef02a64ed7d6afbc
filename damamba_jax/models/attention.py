"""Attention inside time-aligned chunks, which is linear in time, or over a window."""

import einops
import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Bool, Float
from damamba_jax.models.layers import Draws, Linear, constant, normal


class ChunkedAttention(nnx.Module):
    """Attention of a sequence to sources of the same frame rate, chunk by chunk.

    A query sees the frames of its own chunk in every source, and one learned null token
    if `null_token` is set. In self-attention the only source is the sequence itself.

    Args:
      dim: the width of the sequence and of the sources.
      num_heads: the number of attention heads.
      chunk_frames: the frames of one chunk; 0 means one chunk as long as the sequence.
      causal: whether a query sees no source frame later than its own.
      null_token: whether there is a key that is always present, so that a query without
        a valid source can attend to it.
      head_dim: the width of a head; 0 means `dim / num_heads`.
      out_bias: whether the output's projection has a bias.
      dtype: the dtype of the computation.
      rng: the generator that draws the parameters.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        chunk_frames: int,
        causal: bool,
        null_token: bool = False,
        head_dim: int = 0,
        out_bias: bool = False,
        dtype: DTypeLike,
        rng: Draws,
    ) -> None:
        self.num_heads, self.chunk_frames, self.causal = num_heads, chunk_frames, causal
        inner = num_heads * head_dim or dim
        self.query = Linear(dim, inner, dtype=dtype, rng=rng)
        self.key_value = Linear(dim, 2 * inner, dtype=dtype, rng=rng)
        self.out = Linear(inner, dim, dtype=dtype, bias=out_bias, rng=rng)
        # Attention alone does not know the order of the frames in a chunk.
        self.position_bias = (
            constant((num_heads, chunk_frames, chunk_frames), 0.0)
            if chunk_frames
            else None
        )
        self.null = normal(rng, (2, inner), scale=0.02) if null_token else None

    def __call__(
        self,
        x: Float[Array, "B T C"],
        sources: Float[Array, "B S T C"] | None = None,
        source_valid: Bool[Array, "B S"] | None = None,
    ) -> Float[Array, "B T C"]:
        """Computes the attention. `T` must be a multiple of `chunk_frames`.

        Args:
          x: the sequence that attends.
          sources: the sequences that `x` attends to; None means `x` itself.
          source_valid: whether each source is present; None means that all are.
        """
        batch, length, _ = x.shape
        chunk = self.chunk_frames or length
        if sources is None:
            sources = x[:, None]
        num_sources, heads = sources.shape[1], self.num_heads
        query = einops.rearrange(
            self.query(x), "b (n k) (h c) -> (b n) k h c", k=chunk, h=heads
        )
        key, value = einops.rearrange(
            self.key_value(sources),
            "b s (n k) (two h c) -> two (b n) (s k) h c",
            k=chunk,
            h=heads,
            two=2,
        )
        bias = self._bias(chunk, num_sources, source_valid, length // chunk)
        if self.null is not None:
            null = self.null[...].astype(x.dtype).reshape(2, 1, 1, heads, -1)
            null = jnp.broadcast_to(null, (2, key.shape[0], *null.shape[2:]))
            key = jnp.concatenate([null[0], key], axis=1)
            value = jnp.concatenate([null[1], value], axis=1)
            if bias is not None:
                bias = jnp.pad(bias, ((0, 0), (0, 0), (0, 0), (1, 0)))
        if bias is not None:
            bias = bias.astype(x.dtype)
        y = jax.nn.dot_product_attention(query, key, value, bias=bias)
        y = einops.rearrange(y, "(b n) k h c -> b (n k) (h c)", b=batch)
        return self.out(y)

    def _bias(self, chunk, num_sources, source_valid, num_chunks):
        """Builds the additive bias [1 or B n, heads or 1, k, s k]; None means zero."""
        minus = jnp.float32(-1e9)
        bias = None
        if self.position_bias is not None:
            bias = self.position_bias[...][None]
        if self.causal:
            seen = jnp.tril(jnp.ones((1, 1, chunk, chunk), bool))
            bias = jnp.where(seen, 0.0 if bias is None else bias, minus)
        if bias is not None and num_sources > 1:
            bias = jnp.tile(bias, (1, 1, 1, num_sources))
        if source_valid is not None:
            absent = jnp.where(jnp.repeat(source_valid, chunk, axis=1), 0.0, minus)
            absent = jnp.repeat(absent, num_chunks, axis=0)[:, None, None]
            shape = (absent.shape[0], self.num_heads, chunk, absent.shape[-1])
            absent = jnp.broadcast_to(absent, shape)
            bias = absent if bias is None else absent + jnp.broadcast_to(bias, shape)
        return bias
