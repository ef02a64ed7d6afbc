"""Stacks of blocks, and how several stacks run as one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Float
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.models.blocks import (
    HybridBlock,
    TransformerBlock,
    sinusoidal_positions,
)
from damamba_jax.models.layers import Draws, split_key


class Stack(nnx.Module):
    """Blocks of one width; `run_blocks` says what `remat` does."""

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
    blocks: list[nnx.Module],
    x: Float[Array, "B T C"],
    key: Array | None,
    *context: Array,
    remat: bool,
) -> Float[Array, "B T C"]:
    """Applies blocks that are alike one after the other, as `block(x, key, *context)`.

    With `remat`, the backward pass recomputes each block, and the blocks run as a loop:
    XLA may merge a recomputation with the original where it sees both, but never across
    the boundary of a loop.
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
    stacks: list[nnx.Module],
    x: list[Float[Array, "B T C"]],
    key: Array | None,
    *,
    one_by_one: bool,
) -> list[Float[Array, "B T C"]]:
    """Applies to each sequence its own stack; all stacks are alike but for parameters.

    Compiled once instead of once per feature. `one_by_one` keeps the memory of a
    single feature, else all of them are one batch.
    """
    apply, params = stack_modules(stacks)
    keys = None if key is None else jax.random.split(key, len(stacks))
    inputs = (params, jnp.stack(x), keys)
    if one_by_one:
        return list(jax.lax.map(lambda args: apply(*args), inputs))
    return list(jax.vmap(apply)(*inputs))


def stack_modules(modules: list[nnx.Module]) -> tuple[Callable, Any]:
    """Stacks the parameters of modules that are alike, for one loop over all of them.

    Returns:
      `apply(params, *args)`, which calls a module, and the parameters of all, each with
      a leading axis.
    """
    graphdef, _ = nnx.split(modules[0])
    params = jax.tree.map(lambda *p: jnp.stack(p), *(nnx.split(m)[1] for m in modules))
    return lambda params, *args: nnx.merge(graphdef, params)(*args), params
