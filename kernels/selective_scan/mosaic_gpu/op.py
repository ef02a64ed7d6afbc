"""`"pallas"`: fused kernels for NVIDIA GPUs from Hopper on (Pallas, Mosaic GPU).

This module pads the arguments to whole tiles, chains chunks of time where the batch
alone does not fill the GPU, and ties forward and backward kernels together. Nothing of
the size [B, L, D, N] reaches device memory: between the passes the state before every
8th step is kept.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.custom_derivatives import SymbolicZero

from damamba_jax.kernels.implementation import Support
from damamba_jax.kernels.selective_scan import base
from damamba_jax.kernels.selective_scan.mosaic_gpu import tiling
from damamba_jax.kernels.selective_scan.mosaic_gpu.batch import map_rows, shard_rows
from damamba_jax.kernels.selective_scan.mosaic_gpu.tiling import QUAD

# jax 0.10.2 cannot trace the kernels.
MIN_JAX = (0, 11, 2)
MIN_CAPABILITY = 9.0
# Name of the kept states, for policies of `jax.checkpoint`.
KEPT = "selective_scan_states"
# Of an H100 and an H200, for tracing where there is none.
MULTIPROCESSORS = 132


def supports(case: base.Case) -> Support:
    """Says whether the kernels can do a case.

    A program that is made for a GPU on a machine without one is taken to be meant for
    a GPU that can run them.
    """
    if jax.__version_info__ < MIN_JAX:
        wanted = ".".join(map(str, MIN_JAX))
        return Support(
            False, f"it needs jax {wanted} or newer, this is {jax.__version__}."
        )
    if case.platform != "gpu":
        return Support(False, f"it needs an NVIDIA GPU, not a {case.platform}.")
    capability = _local_gpu("compute_capability", MIN_CAPABILITY)
    if capability is None or float(capability) < MIN_CAPABILITY:
        return Support(
            False,
            f"it needs compute capability {MIN_CAPABILITY} (Hopper) or newer, this GPU "
            f"has {capability}.",
        )
    if case.states > tiling.STATES[-1]:
        return Support(
            False, f"it needs at most {tiling.STATES[-1]} states, not {case.states}."
        )
    return Support(True)


def _local_gpu(attribute: str, elsewhere: Any) -> Any:
    """Reads an attribute of this machine's GPU, if it has one."""
    device = jax.devices()[0]
    return getattr(device, attribute, None) if device.platform == "gpu" else elsewhere


def selective_scan(arrays: base.Arrays, options: base.Options) -> base.ScanOutput:
    """Pads the arguments to whole tiles and runs the kernels."""
    x, dt, a, b, c, d, z, dt_bias, h0 = arrays
    dt_softplus, reverse, platform = options
    (batch, length, dim), states = x.shape, a.shape[1]
    sizes = tiling.pad_sizes(length, dim, states)
    if reverse:  # to the order of processing
        b, c = b[:, ::-1], c[:, ::-1]
    if not dt_softplus and dt_bias is not None:
        dt, dt_bias = base.step_size(dt, dt_bias, False), None

    def pad(v, *shape, value=0.0, time=False):
        if v is None or v.shape == shape:
            return v
        widths = [(0, size - n) for n, size in zip(v.shape, shape, strict=True)]
        if time and reverse:
            # A padded step comes last in the order of processing.
            before, after = widths[1]
            widths[1] = (after, before)
        return jnp.pad(v, widths, constant_values=value)

    sequence = (batch, sizes.length, sizes.dim)
    projection = (batch, sizes.length, sizes.states)
    zeros = jnp.zeros((sizes.dim,), jnp.float32)
    shared = (
        pad(a, sizes.dim, sizes.states),
        zeros if d is None else pad(d, sizes.dim),
        zeros if dt_bias is None else pad(dt_bias, sizes.dim),
        jnp.full((sizes.dim,), float(reverse), jnp.float32),
    )
    batched = {
        "x": pad(x, *sequence, time=True),
        # softplus(-inf) = 0: a padded step leaves the state as it is.
        "dt": pad(dt, *sequence, time=True, value=-jnp.inf if dt_softplus else 0.0),
        "z": pad(z, *sequence, time=True),
        "b": pad(b, *projection),
        "c": pad(c, *projection),
        "h0": pad(h0, batch, sizes.dim, sizes.states),
    }
    static = _Static(sizes, dt_softplus, platform)
    # jax 0.10 declares no return type for a `custom_vjp` made by `functools.partial`.
    y, h_last = _scan(static, shared, batched)  # pyright: ignore[reportGeneralTypeIssues]
    first = sizes.length - length if reverse else 0
    return base.ScanOutput(y[:, first : first + length, :dim], h_last[:, :dim, :states])


class _Static(NamedTuple):
    """What a compiled scan depends on besides its arrays."""

    sizes: tiling.Sizes
    softplus: bool
    platform: str

    def options(self, x, *, backward: bool) -> dict[str, Any]:
        """Arguments of the kernels, for as much of a batch as is at hand."""
        chunks = tiling.split_time(
            x.shape[0],
            self.sizes,
            multiprocessors=_local_gpu("core_count", MULTIPROCESSORS),
            backward=backward,
        )
        return {
            "sizes": self.sizes,
            "softplus": self.softplus,
            "chunks": chunks,
        }


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(static, shared, batched):
    """Returns (y, h_last); all arrays are padded to `static.sizes`.

    Args:
      shared: a, d, bias; and [D] 1.0 where time runs backwards, else 0.0.
      batched: x, dt, z, b, c, h0; b and c in the order of processing.
    """
    return _run_forward(static, shared, batched)


def _forward(static, shared, batched):
    shared, batched = jax.tree.map(lambda v: v.value, (shared, batched))
    y, h_last, kept = _run_forward_keeping(static, shared, batched)
    return (y, h_last), (shared, batched, checkpoint_name(kept, KEPT))


def _backward(static, residuals, cotangents):
    shared, batched, kept = residuals
    dy, dh_last = cotangents
    if isinstance(dy, SymbolicZero):
        # It forwards every attribute to its abstract value, which has no types.
        dy = jnp.zeros(dy.shape, dy.dtype)  # pyright: ignore[reportArgumentType]
    if isinstance(dh_last, SymbolicZero):
        dh_last = None
    grads = _run_backward(
        static, shared, {**batched, "kept": kept, "dy": dy, "dh_last": dh_last}
    )
    *differentiable, _ = shared
    totals = (jnp.sum(grads[name], axis=0) for name in ("a", "d", "bias"))
    return (
        (
            *(t.astype(v.dtype) for t, v in zip(totals, differentiable, strict=True)),
            None,
        ),
        {name: grads[name] for name in batched},
    )


# Symbolic: zeros for the adjoint of a last state that nobody reads would be as large as
# an eighth of the kept ones.
_scan.defvjp(_forward, _backward, symbolic_zeros=True)


def _forward_kernels(static, shared, batched, *, keep):
    # The kernels need a newer JAX than the package; `supports` has been asked.
    from damamba_jax.kernels.selective_scan.mosaic_gpu import carry, forward

    x, dt, h0 = batched["x"], batched["dt"], batched["h0"]
    options = static.options(x, backward=False)
    bc, channels = _prepare(static, shared, batched)
    carries = None
    if options["chunks"].number > 1:
        carries = carry.carries(x, None, dt, bc, channels, adjoint=False, **options)
    if h0 is not None:
        h0 = _split(h0.astype(jnp.float32))
    y, h_last, kept = forward.forward(
        x, dt, batched["z"], bc, channels, h0, carries, keep=keep, **options
    )
    h_last = h_last.reshape(*h_last.shape[:2], -1)
    return (y, h_last, kept) if keep else (y, h_last)


def _backward_kernels(static, shared, batched):
    from damamba_jax.kernels.selective_scan.mosaic_gpu import backward, carry

    x, dt, z, dy = (batched[name] for name in ("x", "dt", "z", "dy"))
    h0, dh_last = batched["h0"], batched["dh_last"]
    options = static.options(x, backward=True)
    bc, channels = _prepare(static, shared, batched)
    carries = None
    if options["chunks"].number > 1:
        carries = carry.carries(dy, z, dt, bc, channels, adjoint=True, **options)
    grads = backward.backward(
        x, dt, z, dy, bc, channels, batched["kept"],
        None if dh_last is None else _split(dh_last),
        carries, to_h0=h0 is not None, **options,
    )  # fmt: skip

    def matrix(number, like):
        total = jnp.sum(grads["dbc"][:, :, :, number], axis=1).reshape(like.shape)
        return total.astype(like.dtype)

    return {
        "x": grads["dx"],
        "dt": grads["ddt"],
        "z": grads.get("dz"),
        "b": matrix(0, batched["b"]),
        "c": matrix(1, batched["c"]),
        "h0": None if h0 is None else grads["dh0"].reshape(h0.shape).astype(h0.dtype),
        # Rows of the batch are added up outside: they may lie on several devices.
        "a": _from_quads(jnp.sum(grads["da"], axis=1)),
        "d": jnp.sum(grads["dd"], axis=1),
        "bias": jnp.sum(grads["dbias"], axis=1),
    }


def _parallel(run, name):
    """Runs kernels on sharded and mapped batches.

    Layers of one shape share what is traced and lowered, which takes a second a kernel.
    """
    sharded = shard_rows(run, num_shared=4)

    def choose(static, shared, batched):
        # The interpreter, on a CPU, has effects, which a sharded call cannot have.
        chosen = sharded if static.platform == "gpu" else run
        return chosen(static, shared, batched)

    parallel = map_rows(choose)
    parallel.__name__ = name
    return jax.jit(parallel, static_argnums=0)


_run_forward = _parallel(functools.partial(_forward_kernels, keep=False), "scan")
_run_forward_keeping = _parallel(
    functools.partial(_forward_kernels, keep=True), "scan_keeping_states"
)
_run_backward = _parallel(_backward_kernels, "scan_backward")


def _prepare(static, shared, batched):
    """Casts and arranges what is small, with few launches: each counts beside a scan.

    Nothing here is passed on as it came: where an argument is a slice of a larger
    array, XLA hands over its address within that one, and a kernel takes multiples of
    256 bytes alone.

    Returns:
      b and c, float32 [B, L, 2, N / 4, 4], in the order of processing; and what is
      constant over time, float32 [N / 4 + 1, D, 4]: log2(e) a, and last d, bias,
      whether time runs backwards, 0.
    """
    bc = jnp.stack([batched["b"], batched["c"]], axis=2).astype(jnp.float32)
    a, d, bias, reverse = (v.astype(jnp.float32) for v in shared)
    rest = jnp.stack([d, bias, reverse, jnp.zeros_like(d)], axis=1)
    channels = jnp.concatenate([math.log2(math.e) * a, rest], axis=1)
    return _split(bc), jnp.swapaxes(_split(channels), 0, 1)


def _split(h):
    """Reshapes states [..., N] to [..., N / 4, 4]."""
    return h.reshape(*h.shape[:-1], -1, QUAD)


def _from_quads(h):
    """Rearranges [B, N / 4, D, 4], as kernels hold many states, to [B, D, N]."""
    h = jnp.swapaxes(h, -3, -2)
    return h.reshape(*h.shape[:-2], -1)
