"""Exponential and softplus in fewer instructions than XLA spends on a CPU.

`exp2` shortens a forward scan from 3.0 to 1.75 ms, and `softplus` shortens it from 2.0
to 1.75 ms. The shape and the machine are in `kernels/README.md`.
"""

import jax
import jax.numpy as jnp
from jax import lax

from damamba_jax.array_types import Array, Float

# Coefficients of a polynomial for (2**r - 1) / r on [-1/2, 1/2], highest order first,
# interpolated at Chebyshev nodes. The resulting 2**r is exact at r = 0, so that a step
# of size 0 leaves the state as it is.
_POWER = (
    1.5453163e-4,
    1.3390863e-3,
    9.6180826e-3,
    5.5503571e-2,
    2.4022651e-1,
    6.9314719e-1,
)


def exp2(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """Computes 2**t, clamped to [2**-126, 2**127], with relative error below 1.5e-7.

    `2**t = 2**n 2**r`, where `n` is the integer nearest to `t`. A polynomial gives
    `2**r`, and a shift moves `n` into the exponent.
    """
    t = jnp.clip(t, -126.0, 127.0)
    n = jnp.round(t)
    r = t - n
    power = jnp.zeros_like(r)
    for coefficient in _POWER:
        power = power * r + coefficient
    power = 1.0 + r * power
    # The low mantissa bits of the sum are n. The shift drops all other bits.
    bits = lax.bitcast_convert_type(n + 1.5 * 2.0**23, jnp.int32)
    scale = (bits << 23) + (127 << 23)
    return power * lax.bitcast_convert_type(scale, jnp.float32)


@jax.custom_jvp
def softplus(v: Float[Array, "..."]) -> Float[Array, "..."]:
    """Computes `log(1 + exp(v))` with a relative error below 4e-7.

    It sums the series of `log1p(e) = 2 atanh(e / (2 + e))`, where `e` is in (0, 1].
    """
    e = jnp.exp(-jnp.abs(v))
    s = e / (2.0 + e)
    square = s * s
    series = 2.0 / 15.0
    for order in (13, 11, 9, 7, 5, 3, 1):
        series = series * square + 2.0 / order
    return jnp.maximum(v, 0.0) + s * series


@softplus.defjvp
def _softplus_jvp(primals, tangents):
    (v,), (tangent,) = primals, tangents
    return softplus(v), jax.nn.sigmoid(v) * tangent
