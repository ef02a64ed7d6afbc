"""`"chunked"`: matrix products inside chunks of time, a short loop over the chunks.

The dual form of Dao and Gu (arXiv 2405.21060, section 6) with one group of B and C. The
gradient is autodiff's: every step is a product, an exponential of a number below zero,
or a sum.
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
    # A GPU's fast float32 products round to ten bits; bfloat16 inputs have fewer.
    exact = x.dtype == jnp.float32
    precision = lax.Precision.HIGHEST if exact else lax.Precision.DEFAULT

    def split(v):
        """[B, L, ...] -> [B, chunks, size, ...] in the order of processing."""
        v = v.astype(jnp.float32)
        v = jnp.flip(v, 1) if reverse else v
        # Steps of size 0 and no input leave the state as it is.
        pad = -length % size
        v = jnp.pad(v, [(0, 0), (0, pad)] + [(0, 0)] * (v.ndim - 2))
        return v.reshape(v.shape[0], -1, size, *v.shape[2:])

    def product(pattern, *arrays):
        return jnp.einsum(pattern, *arrays, precision=precision)

    h0 = base.initial_state(h0, x, b)
    dt = split(base.step_size(dt, dt_bias, dt_softplus))
    inputs, b, c = dt[..., None] * split(x), split(b), split(c)
    # log_decay[t] = sum of dt a up to and with t, within its chunk.
    log_decay = jnp.cumsum(dt * a.astype(jnp.float32)[None, None, None], axis=2)
    log_decay = jnp.moveaxis(log_decay, 3, 2)  # [B, chunks, H, size]
    to_end = _per_time(jnp.exp(log_decay[..., -1:] - log_decay))
    from_start = jnp.exp(log_decay)

    # What each chunk adds to the state, and the state before each chunk.
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
    """exp(log_decay[i] - log_decay[j]) for j <= i, else 0: [B, chunks, H, size, size].

    The mask comes before the exponential: above the diagonal it would overflow, and
    its gradient be 0 times infinity.
    """
    size = log_decay.shape[-1]
    difference = log_decay[..., :, None] - log_decay[..., None, :]
    seen = jnp.tril(jnp.ones((size, size), bool))[None, None, None]
    return jnp.exp(jnp.where(seen, difference, -jnp.inf))


def _per_time(v):
    """[B, chunks, H, size] -> [B, chunks, size, H, 1]."""
    return jnp.moveaxis(v, 2, 3)[..., None]


def _pass_on(h0, added, decay):
    """Returns the state before each chunk [B, chunks, H, E, N], and after the last."""

    def step(h, chunk):
        decay, new = chunk
        return decay[..., None, None] * h + new, h

    chunks = (jnp.moveaxis(decay, 1, 0), jnp.moveaxis(added, 1, 0))
    h_last, before = lax.scan(step, h0, chunks)
    return jnp.moveaxis(before, 0, 1), h_last
