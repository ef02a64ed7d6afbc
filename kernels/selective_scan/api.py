"""The public function: argument checks and the choice of an implementation."""

import functools
import logging

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
from damamba_jax.kernels.selective_scan import (
    associative,
    chunked,
    reference,
)
from damamba_jax.kernels.selective_scan.base import (
    Arrays,
    Case,
    Options,
    ScanOutput,
)
from damamba_jax.kernels.selective_scan.mosaic_gpu import op

_LOG = logging.getLogger(__name__)

# From this length on, a loop over time is bound by kernel launches on an accelerator.
LONG_STEPS = 1024
# The gradient of `"associative"` takes about 16 bytes for each element of [B, L, D, N].
# With more elements than this, gradient and model do not fit into memory together.
MAX_ASSOCIATIVE_ELEMENTS = 2**30


IMPLEMENTATIONS = {
    "reference": Implementation(reference.selective_scan, everywhere),
    "associative": Implementation(associative.selective_scan, everywhere),
    "chunked": Implementation(chunked.selective_scan, everywhere),
    "pallas": Implementation(op.selective_scan, op.supports, op.KEPT),
}


def selective_scan(
    x: Float[Array, "B L D"],
    dt: Float[Array, "B L D"],
    a: Float[Array, "D N"],
    b: Float[Array, "B L N"],
    c: Float[Array, "B L N"],
    d: Float[Array, "D"] | None = None,
    *,
    z: Float[Array, "B L D"] | None = None,
    dt_bias: Float[Array, "D"] | None = None,
    dt_softplus: bool = False,
    h0: Float[Array, "B D N"] | None = None,
    reverse: bool = False,
    implementation: str | None = None,
    platform: str | None = None,
) -> ScanOutput:
    """Runs the selective scan of Mamba-1 over time.

    With `dt_t = softplus(dt_t + dt_bias)`, for `t = 0 .. L-1`:

        h_t = exp(dt_t a) h_{t-1} + dt_t b_t x_t
        y_t = (sum_n c_t h_t + d x_t) silu(z_t)

    State and sums are float32, whatever the inputs are.

    Args:
      x: input. Every array may be float32 or bfloat16, in any mixture.
      dt: step size, or the values that `dt_bias` and `dt_softplus` make a step size.
      a: continuous-time transition. It must be negative, or the state grows without
        bound.
      b: input matrix.
      c: output matrix.
      d: weight of the skip connection; `None` means no skip.
      z: gate; `None` means no gate.
      dt_bias: bias that is added to `dt`, before the softplus if there is one.
      dt_softplus: whether the step size is `softplus(dt + dt_bias)`.
      h0: state before the first step; `None` means zeros.
      reverse: whether the scan runs from the last time to the first; `h_last` is then
        the state after time 0.
      implementation: name of the implementation that runs. `None` chooses the best one
        for the platform and shape (`choose`) and logs the choice once.
      platform: JAX's name of the platform to run on; `None` means this machine's.

    Raises:
      ValueError: if shapes or dtypes do not fit, or the implementation is unknown.
      NotImplementedError: if the named implementation cannot do this case.

    Source: Gu and Dao, arXiv 2312.00752, algorithm 2. `b` is discretised by Euler's
    rule, `dt b`. The paper's CUDA code does so too, its text does not.
    """
    arrays = Arrays(x, dt, a, b, c, d, z, dt_bias, h0)
    _check(arrays)
    case = describe(x, a, platform=platform)
    if implementation is None:
        implementation = choose(case)
        _log_once(implementation, case.platform)
    else:
        require(supports(implementation, case), implementation)
    options = Options(dt_softplus, reverse, case.platform)
    return IMPLEMENTATIONS[implementation].run(arrays, options)


def describe(
    x: Float[Array, "B L D"], a: Float[Array, "D N"], *, platform: str | None = None
) -> Case:
    """Returns the `Case` of these arrays on a platform; `None` is this machine's."""
    batch, length, dim = x.shape
    states = a.shape[1]
    return Case(batch, length, dim, states, x.dtype.name, name_platform(platform))


def supports(implementation: str, case: Case) -> Support:
    """Says whether an implementation can do a case, and if not, why.

    Raises:
      ValueError: if the implementation is unknown.
    """
    return find(IMPLEMENTATIONS, implementation).supports(case)


def choose(case: Case) -> str:
    """Returns the best supported implementation for a case.

    On a GPU it is `"pallas"` where that can run. `"pallas"` is several times faster
    than the others at every measured size and takes a fraction of their memory.

    On a CPU it is `"chunked"`, which is faster than the others, forwards and backwards,
    at every size that matters.

    On an accelerator without the kernels it is `"associative"` for long sequences that
    fit in memory, and `"chunked"` for all others. On an H200, `"associative"` had 4
    times the speed of a loop over time from length 2048 on. At length 96 it was slower
    than the loop once the batch was large. The figures are in `kernels/README.md`.
    """
    size = case.batch * case.length * case.dim * case.states
    order = ["chunked", "reference", "associative"]
    long = case.length >= LONG_STEPS and size <= MAX_ASSOCIATIVE_ELEMENTS
    if case.platform != "cpu" and long:
        order.insert(0, "associative")
    order.insert(0, "pallas")
    return next(name for name in order if supports(name, case))


@functools.cache
def _log_once(implementation: str, platform: str) -> None:
    _LOG.info("selective_scan runs as %r on %s", implementation, platform)


def _check(arrays: Arrays) -> None:
    x, a = arrays.x, arrays.a
    for name, value, rank in (("x", x, 3), ("a", a, 2)):
        if value.ndim != rank:
            letters = "[B, L, D]" if rank == 3 else "[D, N]"
            raise ValueError(
                f"`{name}`: expected {rank} axes {letters}, got shape {value.shape}."
            )
    (batch, length, dim), states = x.shape, a.shape[1]
    if min(batch, length, dim, states) < 1:
        raise ValueError(
            f"`x`, `a`: expected no empty axis, got shapes {x.shape} and {a.shape}."
        )
    sequence = ("B, L, D", x.shape)
    projection = ("B, L, N", (batch, length, states))
    channels = ("D", (dim,))
    expected = {
        "x": sequence, "dt": sequence, "a": ("D, N", (dim, states)),
        "b": projection, "c": projection, "d": channels, "z": sequence,
        "dt_bias": channels, "h0": ("B, D, N", (batch, dim, states)),
    }  # fmt: skip
    check_arrays(arrays._asdict(), expected, fitting=("x", "a"))
