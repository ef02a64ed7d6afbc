"""The public function: argument checks and the choice of an implementation."""

from damamba_jax.array_types import Array, Float
from damamba_jax.kernels.implementation import (
    Implementation,
    Support,
    check_arrays,
    everywhere,
    find,
    name_platform,
    require,
)
from damamba_jax.kernels.ssd import chunked, reference
from damamba_jax.kernels.ssd.base import Arrays, Case, Options, SSDOutput

# Steps of a chunk. Longer chunks mean more work inside the chunks and fewer states to
# write.
CHUNK = 32

IMPLEMENTATIONS = {
    "reference": Implementation(reference.ssd, everywhere),
    "chunked": Implementation(chunked.ssd, everywhere),
}


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
    platform: str | None = None,
) -> SSDOutput:
    """Runs the selective scan of Mamba-2: one scalar transition per head.

    With `dt_t = softplus(dt_t + dt_bias)`, for `t = 0 .. L-1` and each head:

        h_t = exp(dt_t a) h_{t-1} + dt_t x_t b_t^T        [E, N]
        y_t = h_t c_t + d x_t                             [E]

    State and sums are float32, whatever the inputs are. The result is that of
    `selective_scan` without a gate, where all channels and states of a head share `a`
    and `dt`.

    Args:
      x: input. Every array may be float32 or bfloat16, in any mixture.
      dt: step size, or the values that `dt_bias` and `dt_softplus` make a step size.
      a: continuous-time transition of each head. It must not be positive.
      b: input matrix, the same for all heads (one group).
      c: output matrix, the same for all heads.
      d: weight of the skip connection; `None` means no skip.
      dt_bias: bias that is added to `dt`, before the softplus if there is one.
      dt_softplus: whether the step size is `softplus(dt + dt_bias)`.
      h0: state before the first step; `None` means zeros.
      reverse: whether the scan runs from the last time to the first; `h_last` is then
        the state after time 0.
      chunk: steps of one chunk, for `"chunked"`. `L` need not be a multiple of it.
      implementation: name of the implementation that runs. `None` chooses the best one
        for the platform and shape (`choose`).
      platform: JAX's name of the platform to run on; `None` means this machine's.

    Raises:
      ValueError: if shapes or dtypes do not fit, if `chunk` is less than 1, or if the
        implementation is unknown.
      NotImplementedError: if the named implementation cannot do this case.

    Source: Dao and Gu, arXiv 2405.21060.
    """
    arrays = Arrays(x, dt, a, b, c, d, dt_bias, h0)
    _check(arrays, chunk)
    case = describe(x, b, platform=platform)
    if implementation is None:
        implementation = choose(case)
    else:
        require(supports(implementation, case), implementation)
    options = Options(dt_softplus, reverse, chunk, case.platform)
    return IMPLEMENTATIONS[implementation].run(arrays, options)


def describe(
    x: Float[Array, "B L H E"],
    b: Float[Array, "B L N"],
    *,
    platform: str | None = None,
) -> Case:
    """Returns the `Case` of these arrays on a platform; `None` is this machine's."""
    batch, length, heads, width = x.shape
    return Case(
        batch, length, heads, width, b.shape[2], x.dtype.name, name_platform(platform)
    )


def supports(implementation: str, case: Case) -> Support:
    """Says whether an implementation can do a case, and if not, why.

    Raises:
      ValueError: if the implementation is unknown.
    """
    return find(IMPLEMENTATIONS, implementation).supports(case)


def choose(case: Case) -> str:
    """Returns the best supported implementation: `"chunked"` wherever it can run."""
    order = ("chunked", "reference")
    return next(name for name in order if supports(name, case))


def _check(arrays: Arrays, chunk: int) -> None:
    if chunk < 1:
        raise ValueError(f"`chunk`: expected at least 1, got {chunk}.")
    x, b = arrays.x, arrays.b
    for name, value, letters in (("x", x, "B, L, H, E"), ("b", b, "B, L, N")):
        if value.ndim != len(letters.split(",")):
            raise ValueError(f"`{name}`: expected [{letters}], got {value.shape}.")
    (batch, length, heads, width), states = x.shape, b.shape[2]
    if min(batch, length, heads, width, states) < 1:
        raise ValueError(
            f"`x`, `b`: expected no empty axis, got shapes {x.shape} and {b.shape}."
        )
    per_head = ("H", (heads,))
    projection = ("B, L, N", (batch, length, states))
    expected = {
        "x": ("B, L, H, E", x.shape), "dt": ("B, L, H", x.shape[:3]), "a": per_head,
        "b": projection, "c": projection, "d": per_head, "dt_bias": per_head,
        "h0": ("B, H, E, N", (batch, heads, width, states)),
    }  # fmt: skip
    check_arrays(arrays._asdict(), expected, fitting=("x", "b"))
