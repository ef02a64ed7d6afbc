"""`"reference"`: the recurrence as it is written, one step of time after the other."""

import jax
import jax.numpy as jnp

from damamba_jax.kernels.ssd import base


def ssd(arrays: base.Arrays, options: base.Options) -> base.SSDOutput:
    """Takes one step of time after the other, in `lax.scan`."""
    x, dt, a, b, c, d, dt_bias, h0 = arrays

    def step(h, inputs):
        x_t, dt_t, b_t, c_t = inputs
        decay = jnp.exp(dt_t * a.astype(jnp.float32)[None])
        drive = (dt_t[..., None] * x_t)[..., None] * b_t[:, None, None]
        h = decay[..., None, None] * h + drive
        return h, jnp.sum(h * c_t[:, None, None], axis=-1)

    inputs = (x, base.step_size(dt, dt_bias, options.dt_softplus), b, c)
    inputs = [jnp.moveaxis(v.astype(jnp.float32), 1, 0) for v in inputs]
    h_last, y = jax.lax.scan(
        step, base.initial_state(h0, x, b), inputs, reverse=options.reverse
    )
    return base.SSDOutput(base.skip(jnp.moveaxis(y, 0, 1), x, d), h_last)
