"""`"pallas"`: fused kernels for NVIDIA GPUs (Hopper or newer) in Pallas for Mosaic GPU.

This module pads the arguments to whole tiles, chains chunks of time where the batch
alone does not fill the GPU, and joins forward and backward kernels. No array of the
size [B, L, D, N] reaches device memory. Between the passes, the state before every 8th
step is kept.
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
# Name of the kept states. Policies of `jax.checkpoint` use it.
KEPT = "selective_scan_states"
# Multiprocessors of an H100 and of an H200. Tracing on a machine without a GPU uses it.
MULTIPROCESSORS = 132


def supports(case: base.Case) -> Support:
    """Says whether the kernels can do a case.

    On a machine without a GPU, a program for a GPU is assumed to be meant for a GPU
    that can run the kernels.
    """
    if jax.__version_info__ < MIN_JAX:
        wanted = ".".join(map(str, MIN_JAX))
        return Support(
            False, f"it needs jax {wanted} or newer, but this is {jax.__version__}."
        )
    if case.platform != "gpu":
        return Support(False, f"it needs an NVIDIA GPU, not a {case.platform}.")
    capability = _local_gpu("compute_capability", MIN_CAPABILITY)
    if capability is None or float(capability) < MIN_CAPABILITY:
        return Support(
            False,
            f"it needs compute capability {MIN_CAPABILITY} (Hopper) or newer, but this "
            f"GPU has {capability}.",
        )
    if case.states > tiling.STATES[-1]:
        return Support(
            False, f"it needs at most {tiling.STATES[-1]} states, not {case.states}."
        )
    return Support(True)


def _local_gpu(attribute: str, elsewhere: Any) -> Any:
    """Reads an attribute of this machine's GPU; `elsewhere` without a GPU."""
    device = jax.devices()[0]
    return getattr(device, attribute, None) if device.platform == "gpu" else elsewhere


def selective_scan(arrays: base.Arrays, options: base.Options) -> base.ScanOutput:
    """Pads the arguments to whole tiles and runs the kernels."""
    x, dt, a, b, c, d, z, dt_bias, h0 = arrays
    dt_softplus, reverse, platform = options
    (batch, length, dim), states = x.shape, a.shape[1]
    sizes = tiling.pad_sizes(length, dim, states)
    if reverse:  # b and c are handed over in the order of processing
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
    """Settings that a compiled scan depends on, besides its arrays."""

    sizes: tiling.Sizes
    softplus: bool
    platform: str

    def options(self, x, *, backward: bool) -> dict[str, Any]:
        """Returns the kernels' keyword arguments for the rows of the batch in `x`."""
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
    """Returns (y, h_last). All arrays are padded to `static.sizes`.

    Args:
      static: the settings of the scan.
      shared: a, d, bias, and an array [D] of 1.0 if time runs backwards, of 0.0 if not.
      batched: x, dt, z, b, c, h0, where b and c are in the order of processing.
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
        # A symbolic zero reads its attributes from an abstract value without types.
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


# With symbolic zeros, there is no adjoint of a last state that nobody reads. Otherwise
# it would be an array of zeros, as large as a state.
_scan.defvjp(_forward, _backward, symbolic_zeros=True)


def _forward_kernels(static, shared, batched, *, keep):
    # The kernels need a newer JAX than the package does. They are imported only here,
    # where `supports` has already said yes.
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
        # The caller adds up the rows of the batch: they may lie on several devices.
        "a": _from_quads(jnp.sum(grads["da"], axis=1)),
        "d": jnp.sum(grads["dd"], axis=1),
        "bias": jnp.sum(grads["dbias"], axis=1),
    }


def _parallel(run, name):
    """Runs kernels on sharded and mapped batches.

    Tracing and lowering take about a second for each kernel. Layers of one shape share
    the result.
    """
    sharded = shard_rows(run, num_shared=4)

    def choose(static, shared, batched):
        # On a CPU the interpreter runs the kernels. It has JAX effects, which a sharded
        # call cannot have.
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
    """Casts and arranges the small arrays, with few launches, since each takes time.

    Every array is copied here. An argument may be a slice of a larger array, and XLA
    then hands over an address inside the larger array. A kernel only accepts addresses
    that are multiples of 256 bytes.

    Returns:
      b and c, float32 [B, L, 2, N / 4, 4], in the order of processing; and the
      constants of the channels, float32 [N / 4 + 1, D, 4]. Their rows hold log2(e) a;
      the last row holds d, bias, 1.0 if time runs backwards, and 0.
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
    """Rearranges states from the kernels' [B, N / 4, D, 4] to [B, D, N]."""
    h = jnp.swapaxes(h, -3, -2)
    return h.reshape(*h.shape[:-2], -1)
