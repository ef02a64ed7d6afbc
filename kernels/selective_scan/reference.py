"""`"reference"`: the recurrence as it is written, one step of time after the other."""

import jax
import jax.numpy as jnp

from damamba_jax.kernels.selective_scan import base


def selective_scan(arrays: base.Arrays, options: base.Options) -> base.ScanOutput:
    """Takes one step of time after the other, in `lax.scan`."""
    x, dt, a, b, c, d, z, dt_bias, h0 = arrays
    a = a.astype(jnp.float32)

    def step(h, inputs):
        x_t, dt_t, b_t, c_t = inputs
        decay = jnp.exp(dt_t[..., None] * a[None])
        h = decay * h + (dt_t * x_t)[..., None] * b_t[:, None]
        return h, jnp.sum(h * c_t[:, None], axis=-1)

    inputs = (x, base.step_size(dt, dt_bias, options.dt_softplus), b, c)
    inputs = [jnp.moveaxis(v.astype(jnp.float32), 1, 0) for v in inputs]
    h0 = base.initial_state(h0, x, a)
    h_last, y = jax.lax.scan(step, h0, inputs, reverse=options.reverse)
    y = base.skip_and_gate(jnp.moveaxis(y, 0, 1), x, d, z)
    return base.ScanOutput(y, h_last)
