"""Register layouts of the Mosaic GPU kernels, and elementary functions on registers.

States [D, N] are spread over the 128 threads of a warpgroup in two ways:

* *channel per thread*: a thread holds all N states of one channel, so that the sum over
  n stays in its registers. The forward and the carry kernel use this layout.
* *quads*: a thread holds 4 states of a channel, and N / 4 lanes share the channel. This
  leaves registers for the states of several steps. The backward kernel uses it.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from damamba_jax.kernels.selective_scan.mosaic_gpu.tiling import QUAD

LOG2E = math.log2(math.e)
LN2 = math.log(2.0)

WARPGROUP = 128  # threads
WARPS, LANES = 4, 32
PARAMS = plgpu.CompilerParams(
    approx_math=True,
    # Mosaic would put a barrier around every access to shared memory. The kernels
    # themselves say where a barrier is needed (`plgpu.commit_smem`).
    unsafe_no_auto_barriers=True,
    # Every layout is written out, because Mosaic takes 40 s to infer them and lower a
    # kernel, instead of 3 s.
    lowering_semantics=plgpu.LoweringSemantics.Lane,
)

# Coefficients of P in log1p(e) = e P(e) on [0, 1], lowest order first, by Chebyshev
# interpolation. The relative error is below 4e-7 in float32. The hardware's logarithm
# is too inexact for small steps.
LOG1P = (
    0.99999976, -0.49997127, 0.33271188, -0.24470469,
    0.17675494, -0.10667790, 0.04337085, -0.008336497,
)  # fmt: skip

# The type is written out because jax 0.10, which cannot trace the kernels, declares
# another signature.
load: Callable[..., jax.Array] = functools.partial(plgpu.load, optimized=False)


def save(ref: Any, value: jax.typing.ArrayLike) -> None:
    """Stores a value in any layout, not only in one that Mosaic calls optimal.

    jax 0.12 refuses other layouts unless `optimized=False` is passed. jax 0.11 takes
    all layouts and has no function `plgpu.store`.
    """
    store = getattr(plgpu, "store", None)
    if store is None:
        ref[...] = value
    else:
        store(ref, value, optimized=False)


def channel_per_thread(states: int) -> Any:
    """Layout of [128, N / 4, 4]: a thread holds the states of one channel."""
    rest = (states // QUAD, QUAD)
    tiling = plgpu.Tiling(((WARPGROUP, *rest), (LANES, *rest)))
    return plgpu.Layout.TILED(tiling, (-6,), (-3,), -1)


def quad_channels(states: int) -> int:
    """Returns the number of channels of which a warpgroup holds one quad per thread."""
    return WARPGROUP * QUAD // states


def quads(states: int) -> Any:
    """Layout of [channels, N / 4, 4]: a thread holds 4 states of one channel."""
    rest = (states // QUAD, QUAD)
    channels = quad_channels(states)
    tiling = plgpu.Tiling(((channels, *rest), (channels // WARPS, *rest)))
    return plgpu.Layout.TILED(tiling, (-6,), (-3, -2), -1)


def state_sums(states: int) -> Any:
    """Layout of [8, channels, N / 4]: a thread holds all addends of a sum over n."""
    rest = states // QUAD
    tiling = plgpu.Tiling(((WARPS, LANES, rest), (1,)))
    return plgpu.Layout.TILED(tiling, (-4,), (-3,), -1)


def channel_sums(states: int) -> Any:
    """Layout of [8, 2, split, N / 4, 4] of sums over channels.

    A thread holds 4 states, and `split` lanes share a sum.
    """
    rest = states // QUAD
    tail = (2, WARPGROUP // (8 * 2 * rest), rest, QUAD)
    tiling = plgpu.Tiling(((8, *tail), (2, *tail)))
    shared = zip((-5, -4, -3, -2), (2, *tail[:-1]), strict=True)
    lanes = tuple(axis for axis, size in shared if size > 1)
    return plgpu.Layout.TILED(tiling, (-10,), lanes, -1)


def states_of(ref: Any) -> Any:
    """Views states [N / 4, D, 4] in device memory as [D, N / 4, 4].

    In device memory the quads of neighbouring channels lie side by side, so that a warp
    reads and writes whole lines.
    """
    return ref.transpose((1, 0, 2))


def transition_of(channels: Any) -> Any:
    """Views log2(e) a, [D, N / 4, 4], in the constants of the channels."""
    return states_of(channels.at[pl.ds(0, channels.shape[0] - 1)])


def d_of(channels: Any) -> Any:
    """Views d, [D], in the constants of the channels."""
    return channels.at[channels.shape[0] - 1, :, 0]


def bias_of(channels: Any) -> Any:
    """Views the bias of dt, [D], in the constants of the channels."""
    return channels.at[channels.shape[0] - 1, :, 1]


def is_reverse(channels: Any) -> jax.Array:
    """Reads from the constants of the channels whether time runs backwards.

    The direction is a number in memory, so that both directions of a model share one
    kernel. Each kernel takes seconds to lower and to compile.
    """
    return channels[channels.shape[0] - 1, 0, 2] > 0.0


def broadcast(
    v: jax.Array, axes: tuple[int, ...], shape: tuple[int, ...], layout: Any
) -> jax.Array:
    """Broadcasts `v` to `shape` in registers. The axes of `v` become `axes`."""
    return plgpu.layout_cast(lax.broadcast_in_dim(v, shape, axes), layout)


def zeros(shape: tuple[int, ...], layout: Any) -> jax.Array:
    """Makes zeros in registers."""
    return plgpu.layout_cast(jnp.zeros(shape, jnp.float32), layout)


def softplus(v: jax.Array) -> jax.Array:
    """Computes `log(1 + exp(v))`, which is exactly 0 at minus infinity."""
    e = jnp.exp2(jnp.abs(v) * -LOG2E)
    p = e * LOG1P[-1] + LOG1P[-2]
    for coefficient in LOG1P[-3::-1]:
        p = p * e + coefficient
    return p * e + jnp.maximum(v, 0.0)


def sigmoid(v: jax.Array) -> jax.Array:
    """Computes `1 / (1 + exp(-v))` without IEEE's exact division, which is slow."""
    r = lax.rsqrt(1.0 + jnp.exp2(v * -LOG2E))
    return r * r
