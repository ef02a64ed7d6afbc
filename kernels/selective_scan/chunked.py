"""`"chunked"`: a time loop with a hand-written adjoint, in linear memory.

The forward pass keeps the state at the start of every chunk of time. The backward
pass walks the chunks from last to first. It recomputes the states of each chunk and
goes back through them. Maths, traffic and measurements are in `kernels/README.md`.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from damamba_jax.kernels.selective_scan import base, elementary
from damamba_jax.kernels.selective_scan.loops import get, plan, put


def selective_scan(arrays: base.Arrays, options: base.Options) -> base.ScanOutput:
    """Walks over chunks of time and keeps the state at the start of each chunk."""
    x, dt, a, b, c, d, z, dt_bias, h0 = arrays
    reverse, platform = options.reverse, options.platform
    (batch, length, dim), states = x.shape, a.shape[1]
    loops = plan(batch, length, dim, states, reverse=reverse, platform=platform)
    dt = base.step_size(dt, dt_bias, options.dt_softplus)
    h0 = base.initial_state(h0, x, a)
    a = a.astype(jnp.float32)
    # jax 0.10 declares no return type for a `custom_vjp` made by `functools.partial`.
    y, h_last = _scan(loops, x, dt, a, b, c, h0)  # pyright: ignore[reportGeneralTypeIssues]
    return base.ScanOutput(base.skip_and_gate(y, x, d, z), h_last)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(loops, x, dt, a, b, c, h0):
    """Returns (y, h_last) of the bare recurrence, where `dt` is the step size."""
    return _forward(loops, x, dt, a, b, c, h0)[0]


def _forward(loops, x, dt, a, b, c, h0):
    inputs = _Inputs(*(loops.split(v) for v in (x, dt, b, c)))

    def step(i, carry, j):
        h, y = carry
        t = loops.time(i)
        h = _advance(loops, inputs, a, h, j, t)
        return h, put(y, _sum_states(h, get(inputs.c, j, t)), j, t)

    def chunk(k, carry, j):
        h, y, kept = carry
        kept = put(kept, h, j, k)
        first, end = loops.bounds(k)
        h, y = lax.fori_loop(first, end, functools.partial(step, j=j), (h, y))
        return h, y, kept

    def block(j, carry):
        h, y, kept = carry
        init = (get(h, j, 0), y, kept)
        h_j, y, kept = lax.fori_loop(
            0, loops.num_chunks, functools.partial(chunk, j=j), init
        )
        return put(h, h_j, j, 0), y, kept

    h = _to_states(loops, h0)
    kept = jnp.zeros((*h.shape[:2], loops.num_chunks, *h.shape[3:]))
    init = (h, jnp.zeros(inputs.x.shape), kept)
    h, y, kept = lax.fori_loop(0, loops.blocks, block, init)
    return (y.reshape(x.shape), _from_states(h)), (x, dt, a, b, c, kept)


def _backward(loops, residuals, cotangents):
    x, dt, a, b, c, kept = residuals
    inputs = _Inputs(*(loops.split(v) for v in (x, dt, b, c)))
    g = loops.split(cotangents[0])
    m = _to_states(loops, cotangents[1])

    def chunk(i, carry, j):
        m, da, sums, states = carry
        k = loops.num_chunks - 1 - i
        h = get(kept, j, k)
        states, sums = _recompute(loops, inputs, a, g, h, j, k, states, sums)
        m, da, sums = _go_back(loops, inputs, a, g, states, j, k, m, da, sums)
        return m, da, sums, states

    def block(j, carry):
        m, da, sums, states = carry
        m_j = get(m, j, 0)
        sums = _read_adjoint(loops, inputs, m_j, j, loops.length - 1, sums)
        init = (m_j, da, sums, states)
        m_j, da, sums, states = lax.fori_loop(
            0, loops.num_chunks, functools.partial(chunk, j=j), init
        )
        return put(m, m_j, j, 0), da, sums, states

    block_shape = (m.shape[0], *m.shape[3:])
    states = jnp.zeros((loops.chunk + 1, *block_shape))
    channels, projections = jnp.zeros(inputs.x.shape), jnp.zeros(inputs.b.shape)
    sums = _Sums(channels, projections, channels, projections)
    init = (m, jnp.zeros(block_shape), sums, states)
    m, da, sums, _ = lax.fori_loop(0, loops.blocks, block, init)
    dx, ddt, db, dc = _finish(inputs, g, sums)
    return (
        dx.reshape(x.shape).astype(x.dtype),
        ddt.reshape(x.shape),
        jnp.sum(da, axis=0).T,
        db.reshape(b.shape).astype(b.dtype),
        dc.reshape(c.shape).astype(c.dtype),
        _from_states(m),
    )


_scan.defvjp(_forward, _backward)


class _Inputs(NamedTuple):
    """The sequences, each [rows, blocks, L, D] or [rows, blocks, L, N]."""

    x: jax.Array
    dt: jax.Array
    b: jax.Array
    c: jax.Array


class _Sums(NamedTuple):
    """Reductions that the backward loop leaves behind, one slot per time.

    `m` is the adjoint that arrives at a time from the steps after it.
    """

    m_b: jax.Array  # sum_n m b, [rows, blocks, L, D]
    m_u: jax.Array  # sum_d m dt x, [rows, blocks, L, N]
    decay: jax.Array  # sum_n a m h, [rows, blocks, L, D]
    dc: jax.Array  # sum_d g h, [rows, blocks, L, N]


def _recompute(loops, inputs, a, g, h, j, k, states, sums):
    """Fills `states` with the state before chunk `k` and after each of its steps."""
    first, last = loops.bounds(k)

    def step(i, carry):
        h, states, dc = carry
        t = loops.time(i)
        h = _advance(loops, inputs, a, h, j, t)
        states = lax.dynamic_update_index_in_dim(states, h, i - first + 1, 0)
        return h, states, put(dc, _sum_channels(h, get(g, j, t)), j, t)

    states = lax.dynamic_update_index_in_dim(states, h, 0, 0)
    _, states, dc = lax.fori_loop(first, last, step, (h, states, sums.dc))
    return states, sums._replace(dc=dc)


def _go_back(loops, inputs, a, g, states, j, k, m, da, sums):
    """Takes the adjoint `m` from the end of chunk `k` to its start."""
    first, last = loops.bounds(k)

    def step(s, carry):
        m, da, sums = carry
        i = first + last - 1 - s
        t = loops.time(i)
        dt_t = get(inputs.dt, j, t)
        to_state = get(inputs.c, j, t)[..., None] * get(g, j, t)[:, None]
        m = _decay(loops, dt_t, a) * (m + to_state)
        h = lax.dynamic_index_in_dim(states, i - first, 0, keepdims=False)
        da = da + dt_t[:, None] * (m * h)
        decay = _sum_over_states(lambda n: a[:, n][None] * m[:, n] * h[:, n], m)
        sums = sums._replace(decay=put(sums.decay, decay, j, t))
        return m, da, _read_adjoint(loops, inputs, m, j, i - 1, sums)

    return lax.fori_loop(first, last, step, (m, da, sums))


def _read_adjoint(loops, inputs, m, j, i, sums):
    """Stores what the adjoint that arrives at step `i` contributes to its inputs.

    The adjoint that leaves step 0 comes with `i = -1`. There is no step -1, so that
    nothing is stored for it.
    """
    t = loops.time(jnp.maximum(i, 0))
    u = get(inputs.dt, j, t) * get(inputs.x, j, t)
    m_b = _sum_states(m, get(inputs.b, j, t))
    m_u = _sum_channels(m, u)
    m_b = jnp.where(i < 0, get(sums.m_b, j, t), m_b)
    m_u = jnp.where(i < 0, get(sums.m_u, j, t), m_u)
    return sums._replace(m_b=put(sums.m_b, m_b, j, t), m_u=put(sums.m_u, m_u, j, t))


def _finish(inputs, g, sums):
    """Adds what `g` contributes at its own time, and returns the gradients."""
    x, dt, b, c = (v.astype(jnp.float32) for v in inputs)
    to_drive = sums.m_b + g * jnp.sum(b * c, axis=-1, keepdims=True)
    db = sums.m_u + c * jnp.sum(g * dt * x, axis=-1, keepdims=True)
    return dt * to_drive, x * to_drive + sums.decay, db, sums.dc


def _decay(loops, dt, a):
    """Computes exp(dt a) [rows, N, D]."""
    if loops.polynomial:
        return elementary.exp2(dt[:, None] * (a.T * math.log2(math.e))[None])
    return jnp.exp(dt[:, None] * a.T[None])


def _advance(loops, inputs, a, h, j, t):
    """Takes the state [rows, N, D] through the step at time `t`."""
    x, dt, b = (get(v, j, t) for v in inputs[:3])
    return _decay(loops, dt, a) * h + (dt * x)[:, None] * b[..., None]


def _sum_over_states(term, h):
    """Sums `term(n)` [rows, D] over n.

    The sum is written out, because a CPU then does it in one vector loop.
    """
    total = term(0)
    for n in range(1, h.shape[1]):
        total = total + term(n)
    return total


def _sum_states(h, weights):
    """Contracts [rows, N, D] with [rows, N] to [rows, D]."""
    return _sum_over_states(lambda n: h[:, n] * weights[:, n, None], h)


def _sum_channels(h, weights):
    """Contracts [rows, N, D] with [rows, D] to [rows, N]."""
    return jnp.einsum("bnd,bd->bn", h, weights, precision=lax.Precision.HIGHEST)


def _to_states(loops, h):
    """Rearranges [B, D, N] to [rows, blocks, 1, N, D]."""
    return loops.split(jnp.swapaxes(h, 1, 2))[:, :, None]


def _from_states(h):
    return jnp.swapaxes(h.reshape(-1, *h.shape[3:]), 1, 2)
