"""Blocks, stacks of blocks, and functions that run several stacks as one."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Float
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.models.attention import ChunkedAttention
from damamba_jax.models.layers import Draws, Dropout, Linear, Norm, split_key
from damamba_jax.models.mamba import Mamba
from damamba_jax.models.mamba2 import Mamba2


class HybridBlock(nnx.Module):
    """`x + g Mamba(u) + (1 - g) Attention(u)`, with `u = norm(x)`, `g = sigmoid(G u)`.

    Mamba is the global branch, and attention inside chunks of `chunk_frames` is the
    local branch. The time of both is linear in the number of frames.
    """

    def __init__(
        self, config: DAMambaConfig, dim: int, *, dtype: DTypeLike, rng: Draws
    ) -> None:
        self.norm = Norm(dim)
        self.gate = Linear(dim, dim, dtype=dtype, bias=True, rng=rng)
        mamba = Mamba2 if config.ssm == "mamba2" else Mamba
        self.mamba = mamba(config, dim, dtype=dtype, rng=rng)
        self.attention = ChunkedAttention(
            dim,
            num_heads=num_heads(config, dim),
            chunk_frames=config.chunk_frames,
            causal=config.direction == "forward",
            dtype=dtype,
            rng=rng,
        )
        self.dropout = Dropout(config.dropout)

    def __call__(
        self, x: Float[Array, "B T C"], key: Array | None = None
    ) -> Float[Array, "B T C"]:
        u = self.norm(x)
        gate = jax.nn.sigmoid(self.gate(u))
        remembered = self.mamba(u)
        # The barrier runs one branch after the other, also in the backward pass. Arrays
        # that only one branch needs are then never in memory for both.
        u, remembered = jax.lax.optimization_barrier((u, remembered))
        mixed = gate * remembered + (1 - gate) * self.attention(u)
        return x + self.dropout(mixed, key)


class TransformerBlock(nnx.Module):
    """Pre-norm Transformer block over the whole window, for one row of the ablation.

    The time of its attention is quadratic in the number of frames. The number of its
    parameters, 12 dim^2, is within 4 % of that of a hybrid block.
    """

    def __init__(
        self, config: DAMambaConfig, dim: int, *, dtype: DTypeLike, rng: Draws
    ) -> None:
        self.attention_norm, self.mlp_norm = Norm(dim), Norm(dim)
        self.attention = ChunkedAttention(
            dim,
            num_heads=num_heads(config, dim),
            chunk_frames=0,
            causal=config.direction == "forward",
            dtype=dtype,
            rng=rng,
        )
        self.up = Linear(dim, 4 * dim, dtype=dtype, bias=True, rng=rng)
        self.down = Linear(4 * dim, dim, dtype=dtype, bias=True, rng=rng)
        self.dropout = Dropout(config.dropout)

    def __call__(
        self, x: Float[Array, "B T C"], key: Array | None = None
    ) -> Float[Array, "B T C"]:
        key_attention, key_mlp = split_key(key, 2)
        x = x + self.dropout(self.attention(self.attention_norm(x)), key_attention)
        y = self.down(jax.nn.gelu(self.up(self.mlp_norm(x))))
        return x + self.dropout(y, key_mlp)


def sinusoidal_positions(length: int, dim: int) -> Float[Array, "T C"]:
    """Returns sines and cosines of frame indices (Vaswani et al., arXiv 1706.03762)."""
    half = (dim + 1) // 2
    rate = jnp.exp(jnp.arange(half, dtype=jnp.float32) * (-math.log(10_000.0) / half))
    angle = jnp.arange(length, dtype=jnp.float32)[:, None] * rate[None]
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)[:, :dim]


def num_heads(config: DAMambaConfig, dim: int) -> int:
    """Returns the number of heads that keeps a head's width in a wider stack."""
    return max(1, config.num_heads * dim // config.dim)


class Stack(nnx.Module):
    """Blocks of one width. `run_blocks` explains `remat`."""

    def __init__(
        self,
        config: DAMambaConfig,
        dim: int,
        num_blocks: int,
        *,
        dtype: DTypeLike,
        rng: Draws,
    ) -> None:
        block = HybridBlock if config.encoder == "mamba" else TransformerBlock
        self.blocks = nnx.List(
            [block(config, dim, dtype=dtype, rng=rng) for _ in range(num_blocks)]
        )
        self.remat = config.remat
        self.positions = config.encoder == "transformer"

    def __call__(
        self, x: Float[Array, "B T C"], key: Array | None = None
    ) -> Float[Array, "B T C"]:
        if self.positions:
            x = x + sinusoidal_positions(x.shape[1], x.shape[2]).astype(x.dtype)[None]
        return run_blocks(list(self.blocks), x, key, remat=self.remat)


def run_blocks(
    blocks: Sequence[Any],
    x: Float[Array, "B T C"],
    key: Array | None,
    *context: Array | None,
    remat: bool,
) -> Float[Array, "B T C"]:
    """Applies similar blocks one after the other: `x = block(x, key, *context)`.

    The blocks differ only in their parameters. With `remat`, the backward pass
    recomputes each block, and the blocks run as a loop. XLA may merge a recomputation
    with the original where it sees both, but never across the boundary of a loop.
    """
    if not (remat and blocks):
        for block, block_key in zip(blocks, split_key(key, len(blocks)), strict=True):
            x = block(x, block_key, *context)
        return x
    apply, params = stack_modules(blocks)
    keys = None if key is None else jax.random.split(key, len(blocks))

    @jax.checkpoint
    def step(x, block):
        return apply(block[0], x, block[1], *context), None

    return jax.lax.scan(step, x, (params, keys))[0]


def encode_all(
    stacks: Sequence[nnx.Module],
    x: list[Float[Array, "B T C"]],
    key: Array | None,
    *,
    one_by_one: bool,
) -> list[Float[Array, "B T C"]]:
    """Applies its own stack to each sequence.

    The stacks differ only in their parameters, so that one stack is compiled instead of
    one for each feature. With `one_by_one` the stacks run one after the other in the
    memory of a single one. Otherwise all of them run as one batch.
    """
    apply, params = stack_modules(stacks)
    keys = None if key is None else jax.random.split(key, len(stacks))
    inputs = (params, jnp.stack(x), keys)
    if one_by_one:
        return list(jax.lax.map(lambda args: apply(*args), inputs))
    return list(jax.vmap(apply)(*inputs))


def stack_modules(modules: Sequence[nnx.Module]) -> tuple[Callable, Any]:
    """Stacks the parameters of similar modules, for one loop over all of them.

    Returns:
      A function `apply(params, *args)` that calls a module, and the parameters of all
      modules, stacked along a leading axis.
    """
    graphdef, _ = nnx.split(modules[0])
    params = jax.tree.map(lambda *p: jnp.stack(p), *(nnx.split(m)[1] for m in modules))
    return lambda params, *args: nnx.merge(graphdef, params)(*args), params
