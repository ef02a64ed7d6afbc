"""Arguments and result of one pass of SSD, and the steps around the recurrence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from damamba_jax.array_types import Array, Float


class SSDOutput(NamedTuple):
    """Result of one pass.

    Attributes:
      y: output, in the dtype of `x`.
      h_last: float32 state after the last processed step, which is time 0 when the
        pass ran in reverse.
    """

    y: Float[Array, "B L H E"]
    h_last: Float[Array, "B H E N"]


class Arrays(NamedTuple):
    """Arrays of a pass, as the public function takes them."""

    x: Float[Array, "B L H E"]
    dt: Float[Array, "B L H"]
    a: Float[Array, "H"]
    b: Float[Array, "B L N"]
    c: Float[Array, "B L N"]
    d: Float[Array, "H"] | None
    dt_bias: Float[Array, "H"] | None
    h0: Float[Array, "B H E N"] | None


class Options(NamedTuple):
    """Settings of a pass besides its arrays.

    Attributes:
      dt_softplus: whether the step size is `softplus(dt + dt_bias)`.
      reverse: whether the pass runs from the last time to the first.
      chunk: steps of one chunk, for the implementations that have chunks.
      platform: the platform that the program is meant for, as in `Case`.
    """

    dt_softplus: bool
    reverse: bool
    chunk: int
    platform: str


class Case(NamedTuple):
    """Everything that decides which implementation can run, and which is best.

    Attributes:
      batch, length, heads, width, states: the sizes B, L, H, E and N.
      dtype: name of the dtype of `x`.
      platform: the platform that the program is meant for: `"cpu"`, `"gpu"` or
        `"tpu"`.
    """

    batch: int
    length: int
    heads: int
    width: int
    states: int
    dtype: str
    platform: str


def step_size(
    dt: Float[Array, "B L H"], dt_bias: Float[Array, "H"] | None, dt_softplus: bool
) -> Float[Array, "B L H"]:
    """Computes the step size `softplus(dt + dt_bias)` in float32.

    Without `dt_bias` nothing is added; without `dt_softplus` the softplus is left out.
    """
    dt = dt.astype(jnp.float32)
    if dt_bias is not None:
        dt = dt + dt_bias.astype(jnp.float32)[None, None]
    return jax.nn.softplus(dt) if dt_softplus else dt


def skip(
    y: Float[Array, "B L H E"],
    x: Float[Array, "B L H E"],
    d: Float[Array, "H"] | None,
) -> Float[Array, "B L H E"]:
    """Computes `y + d x` in float32 and returns it in the dtype of `x`."""
    if d is not None:
        y = y + d.astype(jnp.float32)[None, None, :, None] * x.astype(jnp.float32)
    return y.astype(x.dtype)


def initial_state(
    h0: Float[Array, "B H E N"] | None,
    x: Float[Array, "B L H E"],
    b: Float[Array, "B L N"],
) -> Float[Array, "B H E N"]:
    """Returns `h0` in float32, or zeros if it is None."""
    if h0 is None:
        batch, _, heads, width = x.shape
        return jnp.zeros((batch, heads, width, b.shape[2]), jnp.float32)
    return h0.astype(jnp.float32)
