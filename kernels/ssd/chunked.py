"""`"chunked"`: matrix products inside chunks of time, and a short loop over the chunks.

This is the dual form of Dao and Gu (arXiv 2405.21060, section 6) with one group of B
and C. Automatic differentiation gives the gradient. That is safe, because every step is
a product, a sum, or the exponential of a number that is not positive.
"""

import jax.numpy as jnp
from jax import lax

from damamba_jax.kernels.ssd import base


def ssd(arrays: base.Arrays, options: base.Options) -> base.SSDOutput:
    """Multiplies matrices inside chunks, and loops over the chunks."""
    x, dt, a, b, c, d, dt_bias, h0 = arrays
    dt_softplus, reverse, chunk, _ = options
    length = x.shape[1]
    size = min(chunk, length)
    # A GPU's fast float32 products round to ten bits. bfloat16 inputs have fewer bits
    # anyway.
    exact = x.dtype == jnp.float32
    precision = lax.Precision.HIGHEST if exact else lax.Precision.DEFAULT

    def split(v):
        """Cuts [B, L, ...] into [B, chunks, size, ...] in the order of processing."""
        v = v.astype(jnp.float32)
        v = jnp.flip(v, 1) if reverse else v
        # A step of size 0 without input leaves the state as it is.
        pad = -length % size
        v = jnp.pad(v, [(0, 0), (0, pad)] + [(0, 0)] * (v.ndim - 2))
        return v.reshape(v.shape[0], -1, size, *v.shape[2:])

    def product(pattern, *arrays):
        return jnp.einsum(pattern, *arrays, precision=precision)

    h0 = base.initial_state(h0, x, b)
    dt = split(base.step_size(dt, dt_bias, dt_softplus))
    inputs, b, c = dt[..., None] * split(x), split(b), split(c)
    # log_decay[t] is the sum of dt a from the start of the chunk up to t, inclusive.
    log_decay = jnp.cumsum(dt * a.astype(jnp.float32)[None, None, None], axis=2)
    log_decay = jnp.moveaxis(log_decay, 3, 2)  # [B, chunks, H, size]
    to_end = _per_time(jnp.exp(log_decay[..., -1:] - log_decay))
    from_start = jnp.exp(log_decay)

    # `added` is what each chunk adds to the state; `before` the state before the chunk.
    added = product("bkthe,bktn->bkhen", to_end * inputs, b)
    before, h_last = _pass_on(h0, added, from_start[..., -1])

    weights = _decay_between(log_decay)
    weights = weights * product("bkin,bkjn->bkij", c, b)[:, :, None]
    y = product("bkhij,bkjhe->bkihe", weights, inputs)
    y = y + _per_time(from_start) * product("bktn,bkhen->bkthe", c, before)
    y = y.reshape(y.shape[0], -1, *y.shape[3:])[:, :length]
    y = jnp.flip(y, 1) if reverse else y
    return base.SSDOutput(base.skip(y, x, d), h_last)


def _decay_between(log_decay):
    """Computes exp(log_decay[i] - log_decay[j]) for j <= i, and 0 for other pairs.

    The result is [B, chunks, H, size, size]. The mask comes before the exponential:
    above the diagonal the exponential would overflow, and its gradient would be 0 times
    infinity.
    """
    size = log_decay.shape[-1]
    difference = log_decay[..., :, None] - log_decay[..., None, :]
    seen = jnp.tril(jnp.ones((size, size), bool))[None, None, None]
    return jnp.exp(jnp.where(seen, difference, -jnp.inf))


def _per_time(v):
    """Rearranges [B, chunks, H, size] to [B, chunks, size, H, 1]."""
    return jnp.moveaxis(v, 2, 3)[..., None]


def _pass_on(h0, added, decay):
    """Returns the state before each chunk [B, chunks, H, E, N], and after the last."""

    def step(h, chunk):
        decay, new = chunk
        return decay[..., None, None] * h + new, h

    chunks = (jnp.moveaxis(decay, 1, 0), jnp.moveaxis(added, 1, 0))
    h_last, before = lax.scan(step, h0, chunks)
    return jnp.moveaxis(before, 0, 1), h_last
