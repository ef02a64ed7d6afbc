"""Mamba-1 (Gu and Dao, arXiv 2312.00752), forward or bidirectional."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Float
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.kernels import selective_scan
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS, choose, describe
from damamba_jax.models.layers import (
    DepthwiseConv,
    Draws,
    Linear,
    constant,
    initial_dt_bias,
    named_scan,
    uniform,
)

# Name of a direction's narrow projection. Policies of `jax.checkpoint` use it.
PROJECTED = "selective_ssm_projection"


class Mamba(nnx.Module):
    """Gated selective state-space layer.

    `[x, z] = in_proj(u)`. Each direction applies a causal depthwise convolution, SiLU
    and the selective scan with its gate. The outputs of the directions are added, and
    `out_proj` follows. The two directions share `in_proj` and `out_proj`, and have
    their own parameters for everything between.
    """

    def __init__(
        self, config: DAMambaConfig, dim: int, *, dtype: DTypeLike, rng: Draws
    ) -> None:
        inner = config.expand * dim
        self.in_proj = Linear(dim, 2 * inner, dtype=dtype, rng=rng)
        self.forward = SelectiveSSM(config, dim, reverse=False, dtype=dtype, rng=rng)
        self.backward = (
            SelectiveSSM(config, dim, reverse=True, dtype=dtype, rng=rng)
            if config.direction == "bidirectional"
            else None
        )
        self.out_proj = Linear(inner, dim, dtype=dtype, rng=rng)

    def __call__(self, u: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        x, z = self.in_proj.pieces(u, 2)
        y = self.forward(x, z)
        if self.backward is not None:
            # The barrier runs one direction after the other, also in the backward pass.
            # Arrays that only one direction needs are then never in memory for both.
            x, z, y = jax.lax.optimization_barrier((x, z, y))
            y += self.backward(x, z)
        return self.out_proj(y)


class SelectiveSSM(nnx.Module):
    """One direction of Mamba: convolution, data-dependent dt, B and C, and the scan.

    A starts at S4D-real, -(1 .. N), and dt starts log-uniform in [1e-3, 1e-1]. Before
    training there are thus memories from tens to thousands of frames.

    `platform` is the platform that the program is meant for. `build_model` sets it.
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
        inner, states = config.expand * dim, config.state_dim
        self.rank = math.ceil(dim / config.dt_rank_divisor)
        self.states, self.reverse = states, reverse
        self.implementation = named_scan(config.scan, IMPLEMENTATIONS)
        self.platform: str | None = None
        # Stacks of concatenated features are the widest ones. They determine the peak
        # of memory.
        self.slim = config.remat and dim > config.dim
        self.conv = DepthwiseConv(inner, config.conv_width, reverse=reverse, rng=rng)
        self.x_proj = Linear(inner, self.rank + 2 * states, dtype=dtype, rng=rng)
        self.dt_proj = Linear(self.rank, inner, dtype=dtype, rng=rng)
        bound = self.rank**-0.5
        self.dt_proj.kernel = uniform(rng, (self.rank, inner), low=-bound, high=bound)
        self.dt_bias = initial_dt_bias(rng, inner)
        a = np.arange(1, states + 1, dtype=np.float32)
        self.a_log = nnx.Param(np.tile(np.log(a)[None], (inner, 1)))
        self.d = constant((inner,), 1.0)

    def __call__(
        self, x: Float[Array, "B T D"], z: Float[Array, "B T D"]
    ) -> Float[Array, "B T D"]:
        kept = self._kept(x)
        if not (self.slim and kept):
            return self._scan(x, z)
        # The backward pass computes the scan's arguments again. They are cheap to
        # compute, and nearly as large as the kept states.
        policy = jax.checkpoint_policies.save_only_these_names(kept, PROJECTED)
        return jax.checkpoint(self._scan, policy=policy)(x, z)

    def _kept(self, x: Float[Array, "B T D"]) -> str | None:
        """Returns the name of the values that the scan keeps, if they have a name."""
        case = describe(x, self.a_log[...], platform=self.platform)
        return IMPLEMENTATIONS[self.implementation or choose(case)].kept

    def _scan(
        self, x: Float[Array, "B T D"], z: Float[Array, "B T D"]
    ) -> Float[Array, "B T D"]:
        x = jax.nn.silu(self.conv(x))
        projected = checkpoint_name(self.x_proj(x), PROJECTED)
        dt, b, c = jnp.split(projected, [self.rank, self.rank + self.states], axis=-1)
        return selective_scan(
            x,
            self.dt_proj(dt),
            -jnp.exp(self.a_log[...]),
            b,
            c,
            self.d[...],
            z=z,
            dt_bias=self.dt_bias[...],
            dt_softplus=True,
            reverse=self.reverse,
            implementation=self.implementation,
            platform=self.platform,
        ).y
