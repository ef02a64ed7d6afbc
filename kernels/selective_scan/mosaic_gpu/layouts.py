"""Register layouts of the Mosaic GPU kernels, and elementary functions on registers.

States [D, N] are spread over the 128 threads of a warpgroup in two ways:

* *channel per thread*: a thread holds all N states of one channel, so that the sum over
  n stays in its registers (forward, carry);
* *quads*: a thread holds 4 states of a channel, N / 4 lanes share one, which leaves
  registers for the states of several steps (backward).
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
    # Mosaic would put a barrier around every access to shared memory; the kernels say
    # themselves where one is needed (`plgpu.commit_smem`).
    unsafe_no_auto_barriers=True,
    # Every layout is written out: inferring them takes 40 s instead of 3.
    lowering_semantics=plgpu.LoweringSemantics.Lane,
)

# log1p(e) = e P(e) on [0, 1], lowest order first, Chebyshev interpolation: relative
# error below 4e-7 in float32. The hardware's logarithm is inexact for small steps.
LOG1P = (
    0.99999976, -0.49997127, 0.33271188, -0.24470469,
    0.17675494, -0.10667790, 0.04337085, -0.008336497,
)  # fmt: skip

# jax 0.10, which cannot trace the kernels, declares another signature.
load: Callable[..., jax.Array] = functools.partial(plgpu.load, optimized=False)


def save(ref: Any, value: jax.typing.ArrayLike) -> None:
    """Stores without asking for a layout that Mosaic calls optimal.

    jax 0.12 refuses others unless told so; 0.11 takes them, and has no such function.
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
    """Channels over which a warpgroup spreads in quads."""
    return WARPGROUP * QUAD // states


def quads(states: int) -> Any:
    """Layout of [channels, N / 4, 4]: a thread holds 4 states of one channel."""
    rest = (states // QUAD, QUAD)
    channels = quad_channels(states)
    tiling = plgpu.Tiling(((channels, *rest), (channels // WARPS, *rest)))
    return plgpu.Layout.TILED(tiling, (-6,), (-3, -2), -1)


def state_sums(states: int) -> Any:
    """Layout of [8, channels, N / 4]: a thread holds the addends of a sum over n."""
    rest = states // QUAD
    tiling = plgpu.Tiling(((WARPS, LANES, rest), (1,)))
    return plgpu.Layout.TILED(tiling, (-4,), (-3,), -1)


def channel_sums(states: int) -> Any:
    """Layout of [8, 2, split, N / 4, 4] of sums over channels.

    A thread holds 4 states; `split` lanes share a sum.
    """
    rest = states // QUAD
    tail = (2, WARPGROUP // (8 * 2 * rest), rest, QUAD)
    tiling = plgpu.Tiling(((8, *tail), (2, *tail)))
    shared = zip((-5, -4, -3, -2), (2, *tail[:-1]), strict=True)
    lanes = tuple(axis for axis, size in shared if size > 1)
    return plgpu.Layout.TILED(tiling, (-10,), lanes, -1)


def states_of(ref: Any) -> Any:
    """Views states in device memory, [N / 4, D, 4], as [D, N / 4, 4].

    There, the 4 states of neighbouring channels are neighbours, so that a warp reads
    and writes whole lines.
    """
    return ref.transpose((1, 0, 2))


def transition_of(channels: Any) -> Any:
    """Views log2(e) a, [D, N / 4, 4], in the constants of channels."""
    return states_of(channels.at[pl.ds(0, channels.shape[0] - 1)])


def d_of(channels: Any) -> Any:
    """Views d, [D], in the constants of channels."""
    return channels.at[channels.shape[0] - 1, :, 0]


def bias_of(channels: Any) -> Any:
    """Views the bias of dt, [D], in the constants of channels."""
    return channels.at[channels.shape[0] - 1, :, 1]


def is_reverse(channels: Any) -> jax.Array:
    """Reads from the constants of channels whether the last time comes first.

    A number in memory, so that both directions of a model are one kernel: each takes
    seconds to lower and to compile.
    """
    return channels[channels.shape[0] - 1, 0, 2] > 0.0


def broadcast(
    v: jax.Array, axes: tuple[int, ...], shape: tuple[int, ...], layout: Any
) -> jax.Array:
    """Broadcasts `v`, whose axes are `axes` of `shape`, within registers."""
    return plgpu.layout_cast(lax.broadcast_in_dim(v, shape, axes), layout)


def zeros(shape: tuple[int, ...], layout: Any) -> jax.Array:
    """Makes zeros within registers."""
    return plgpu.layout_cast(jnp.zeros(shape, jnp.float32), layout)


def softplus(v: jax.Array) -> jax.Array:
    """Computes `log(1 + exp(v))`; exactly 0 at minus infinity."""
    e = jnp.exp2(jnp.abs(v) * -LOG2E)
    p = e * LOG1P[-1] + LOG1P[-2]
    for coefficient in LOG1P[-3::-1]:
        p = p * e + coefficient
    return p * e + jnp.maximum(v, 0.0)


def sigmoid(v: jax.Array) -> jax.Array:
    """Computes `1 / (1 + exp(-v))` without a division, which would be IEEE's."""
    r = lax.rsqrt(1.0 + jnp.exp2(v * -LOG2E))
    return r * r
