"""The public function: argument checks and the choice of an implementation."""

import jax.numpy as jnp

from damamba_jax.array_types import Array, Float
from damamba_jax.kernels.ssd import chunked, reference
from damamba_jax.kernels.ssd.base import SSDOutput

_DTYPES = ("float32", "bfloat16")
# Steps of a chunk: the work inside chunks grows with it, the number of states that are
# written falls.
CHUNK = 32

# Each runs everywhere: XLA compiles plain array code for every platform.
IMPLEMENTATIONS = {"reference": reference.ssd, "chunked": chunked.ssd}


def ssd(
    x: Float[Array, "B L H E"],
    dt: Float[Array, "B L H"],
    a: Float[Array, "H"],
    b: Float[Array, "B L N"],
    c: Float[Array, "B L N"],
    d: Float[Array, "H"] | None = None,
    *,
    dt_bias: Float[Array, "H"] | None = None,
    dt_softplus: bool = False,
    h0: Float[Array, "B H E N"] | None = None,
    reverse: bool = False,
    chunk: int = CHUNK,
    implementation: str | None = None,
) -> SSDOutput:
    """Runs the selective scan of Mamba-2: one scalar transition per head.

    With `dt_t = softplus(dt_t + dt_bias)`, for `t = 0 .. L-1` and each head:

        h_t = exp(dt_t a) h_{t-1} + dt_t x_t b_t^T        [E, N]
        y_t = h_t c_t + d x_t                             [E]

    State and sums are float32, whatever the inputs are. It is `selective_scan` with
    `a` and `dt` shared by all channels and states of a head, and without a gate.

    Args:
      x: input; float32 or bfloat16, as every other array, in any mixture.
      dt: step size, or what becomes one through `dt_bias` and `dt_softplus`.
      a: continuous-time transition of each head; must not be positive.
      b: input matrix, the same for all heads (one group).
      c: output matrix, the same for all heads.
      d: weight of the skip connection; `None` means no skip.
      dt_bias: added to `dt`, before the softplus if there is one.
      dt_softplus: whether the step size is `softplus(dt + dt_bias)`.
      h0: state before the first step; `None` means zeros.
      reverse: run from the last time to the first; `h_last` is then the state after
        time 0.
      chunk: steps of one chunk, for `"chunked"`; any `L` is allowed.
      implementation: one of `IMPLEMENTATIONS`; `None` takes `"chunked"`.

    Raises:
      ValueError: for shapes, dtypes or a chunk that do not fit, or an unknown
        implementation.

    Source: Dao and Gu, arXiv 2405.21060.
    """
    _check(x, dt, a, b, c, d, dt_bias, h0)
    if chunk < 1:
        raise ValueError(f"`chunk`: expected at least 1, got {chunk}.")
    name = "chunked" if implementation is None else implementation
    if name not in IMPLEMENTATIONS:
        raise ValueError(
            f"`implementation`: expected one of {list(IMPLEMENTATIONS)} or None, got "
            f"{implementation!r}."
        )
    return IMPLEMENTATIONS[name](
        x, dt, a, b, c, d,
        dt_bias=dt_bias, dt_softplus=dt_softplus, h0=h0, reverse=reverse, chunk=chunk,
    )  # fmt: skip


def _check(x, dt, a, b, c, d, dt_bias, h0):
    for name, value, letters in (("x", x, "B, L, H, E"), ("b", b, "B, L, N")):
        if value.ndim != len(letters.split(",")):
            raise ValueError(f"`{name}`: expected [{letters}], got {value.shape}.")
    (batch, length, heads, width), states = x.shape, b.shape[2]
    if min(batch, length, heads, width, states) < 1:
        raise ValueError(
            f"`x`, `b`: expected no empty axis, got shapes {x.shape} and {b.shape}."
        )
    arrays = {
        "x": (x, "B, L, H, E", x.shape),
        "dt": (dt, "B, L, H", x.shape[:3]),
        "a": (a, "H", (heads,)),
        "b": (b, "B, L, N", (batch, length, states)),
        "c": (c, "B, L, N", (batch, length, states)),
        "d": (d, "H", (heads,)),
        "dt_bias": (dt_bias, "H", (heads,)),
        "h0": (h0, "B, H, E, N", (batch, heads, width, states)),
    }
    for name, (value, letters, shape) in arrays.items():
        if value is None:
            continue
        if value.shape != shape:
            raise ValueError(
                f"`{name}`: expected shape [{letters}] = {shape} to fit `x` "
                f"{x.shape} and `b` {b.shape}, got {value.shape}."
            )
        if jnp.result_type(value).name not in _DTYPES:
            raise ValueError(
                f"`{name}`: expected one of the dtypes {', '.join(_DTYPES)}, got "
                f"{jnp.result_type(value).name}; cast it first."
            )
