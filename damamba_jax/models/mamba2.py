"""Mamba-2 (Dao and Gu, arXiv 2405.21060), forward or bidirectional."""

import einops
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Float
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.kernels import ssd
from damamba_jax.kernels.ssd import IMPLEMENTATIONS
from damamba_jax.models.layers import (
    DepthwiseConv,
    Draws,
    Linear,
    Norm,
    constant,
    initial_dt_bias,
    named_scan,
    uniform,
)


class Mamba2(nnx.Module):
    """Gated state-space layer with one scalar transition per head.

    `[x, z] = in_proj(u)`. Each direction computes B, C and dt from `u`, then a causal
    depthwise convolution over `[x, B, C]`, SiLU and the scan. The outputs of the
    directions are added, and the result is `out_proj(norm(y silu(z)))`.

    The interface is that of `Mamba`. Two directions share `in_proj`, the gated norm and
    `out_proj`, and have their own parameters for everything between.
    """

    def __init__(
        self, config: DAMambaConfig, dim: int, *, dtype: DTypeLike, rng: Draws
    ) -> None:
        inner = config.expand * dim
        self.in_proj = Linear(dim, 2 * inner, dtype=dtype, rng=rng)
        self.forward = ScalarSSM(config, dim, reverse=False, dtype=dtype, rng=rng)
        self.backward = (
            ScalarSSM(config, dim, reverse=True, dtype=dtype, rng=rng)
            if config.direction == "bidirectional"
            else None
        )
        self.norm = Norm(inner)
        self.out_proj = Linear(inner, dim, dtype=dtype, rng=rng)

    def __call__(self, u: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        x, z = self.in_proj.pieces(u, 2)
        y = self.forward(u, x)
        if self.backward is not None:
            y += self.backward(u, x)
        return self.out_proj(self.norm(y * jax.nn.silu(z)))


class ScalarSSM(nnx.Module):
    """One direction of Mamba-2: projection to B, C and dt, convolution and scan.

    -A starts uniform in [1, 16], and dt starts log-uniform in [1e-3, 1e-1]. `platform`
    is the platform that the program is meant for. `build_model` sets it.
    """

    def __init__(
        self,
        config: DAMambaConfig,
        dim: int,
        *,
        reverse: bool,
        dtype: DTypeLike,
        rng: Draws,
    ) -> None:
        inner, self.states = config.expand * dim, config.state_dim
        heads = inner // config.head_dim
        self.heads, self.chunk, self.reverse = heads, config.ssd_chunk, reverse
        self.implementation = named_scan(config.scan, IMPLEMENTATIONS)
        self.platform: str | None = None
        width = inner + 2 * self.states
        self.proj = Linear(dim, 2 * self.states + heads, dtype=dtype, rng=rng)
        self.conv = DepthwiseConv(width, config.conv_width, reverse=reverse, rng=rng)
        self.dt_bias = initial_dt_bias(rng, heads)
        a = uniform(rng, (heads,), low=1.0, high=16.0)[...]
        # Without a generator `a` is zero, and log(0) is not finite.
        self.a_log = nnx.Param(np.log(np.maximum(np.asarray(a), np.float32(1.0))))
        self.d = constant((heads,), 1.0)

    def __call__(
        self, u: Float[Array, "B T C"], x: Float[Array, "B T D"]
    ) -> Float[Array, "B T D"]:
        inner, states = x.shape[-1], self.states
        bc, dt = jnp.split(self.proj(u), [2 * states], axis=-1)
        mixed = jax.nn.silu(self.conv(jnp.concatenate([x, bc], axis=-1)))
        x, b, c = jnp.split(mixed, [inner, inner + states], axis=-1)
        y = ssd(
            einops.rearrange(x, "b t (h e) -> b t h e", h=self.heads),
            dt,
            -jnp.exp(self.a_log[...]),
            b,
            c,
            self.d[...],
            dt_bias=self.dt_bias[...],
            dt_softplus=True,
            reverse=self.reverse,
            chunk=self.chunk,
            implementation=self.implementation,
            platform=self.platform,
        ).y
        return einops.rearrange(y, "b t h e -> b t (h e)")
