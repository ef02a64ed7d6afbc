"""`"associative"`: a parallel scan over materialised pairs (decay, input)."""

import jax
import jax.numpy as jnp

from damamba_jax.kernels.selective_scan import base


def selective_scan(arrays: base.Arrays, options: base.Options) -> base.ScanOutput:
    """Composes maps `h -> p h + q` in pairs. Depth O(log L), memory O(B L D N)."""
    x, dt, a, b, c, d, z, dt_bias, h0 = arrays
    reverse = options.reverse
    a, b, c = (v.astype(jnp.float32) for v in (a, b, c))
    dt = base.step_size(dt, dt_bias, options.dt_softplus)
    h0 = base.initial_state(h0, x, a)

    decay = jnp.exp(dt[..., None] * a[None, None])
    drive = (dt * x.astype(jnp.float32))[..., None] * b[:, :, None]
    first = -1 if reverse else 0
    drive = drive.at[:, first].add(decay[:, first] * h0)

    def compose(earlier, later):
        return earlier[0] * later[0], earlier[1] * later[0] + later[1]

    _, h = jax.lax.associative_scan(compose, (decay, drive), reverse=reverse, axis=1)
    y = jnp.sum(h * c[:, :, None], axis=-1)
    return base.ScanOutput(base.skip_and_gate(y, x, d, z), h[:, 0 if reverse else -1])
