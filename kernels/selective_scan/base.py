"""Arguments and result of a scan, and the steps around the recurrence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from damamba_jax.array_types import Array, Float
from damamba_jax.kernels.selective_scan import elementary


class ScanOutput(NamedTuple):
    """Result of a selective scan.

    Attributes:
      y: output, in the dtype of `x`.
      h_last: float32 state after the last processed step, which is time 0 when the
        scan ran in reverse.
    """

    y: Float[Array, "B L D"]
    h_last: Float[Array, "B D N"]


class Case(NamedTuple):
    """Everything that decides which implementation can run, and which is best.

    Attributes:
      batch, length, dim, states: the sizes B, L, D and N.
      dtype: name of the dtype of `x`.
      platform: the platform that the program is meant for: `"cpu"`, `"gpu"` or
        `"tpu"`.
    """

    batch: int
    length: int
    dim: int
    states: int
    dtype: str
    platform: str


class Arrays(NamedTuple):
    """Arrays of a scan, as the public function takes them."""

    x: Float[Array, "B L D"]
    dt: Float[Array, "B L D"]
    a: Float[Array, "D N"]
    b: Float[Array, "B L N"]
    c: Float[Array, "B L N"]
    d: Float[Array, "D"] | None
    z: Float[Array, "B L D"] | None
    dt_bias: Float[Array, "D"] | None
    h0: Float[Array, "B D N"] | None


class Options(NamedTuple):
    """Settings of a scan besides its arrays.

    Attributes:
      dt_softplus: whether the step size is `softplus(dt + dt_bias)`.
      reverse: whether the scan runs from the last time to the first.
      platform: the platform that the program is meant for, as in `Case`.
    """

    dt_softplus: bool
    reverse: bool
    platform: str


def step_size(
    dt: Float[Array, "B L D"],
    dt_bias: Float[Array, "D"] | None,
    dt_softplus: bool,
) -> Float[Array, "B L D"]:
    """Computes the step size `softplus(dt + dt_bias)` in float32.

    Without `dt_bias` nothing is added; without `dt_softplus` the softplus is left out.
    """
    dt = dt.astype(jnp.float32)
    if dt_bias is not None:
        dt = dt + dt_bias.astype(jnp.float32)[None, None]
    return elementary.softplus(dt) if dt_softplus else dt


def skip_and_gate(
    y: Float[Array, "B L D"],
    x: Float[Array, "B L D"],
    d: Float[Array, "D"] | None,
    z: Float[Array, "B L D"] | None,
) -> Float[Array, "B L D"]:
    """Computes `(y + d x) silu(z)` in float32 and returns it in the dtype of `x`."""
    if d is not None:
        y = y + d.astype(jnp.float32)[None, None] * x.astype(jnp.float32)
    if z is not None:
        y = y * jax.nn.silu(z.astype(jnp.float32))
    return y.astype(x.dtype)


def initial_state(
    h0: Float[Array, "B D N"] | None, x: Float[Array, "B L D"], a: Float[Array, "D N"]
) -> Float[Array, "B D N"]:
    """Returns `h0` in float32, or zeros if it is None."""
    if h0 is None:
        return jnp.zeros((x.shape[0], *a.shape), jnp.float32)
    return h0.astype(jnp.float32)
