"""Forward kernel of the selective scan (Mosaic GPU): 128 channels, one per thread."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from damamba_jax.array_types import Array
from damamba_jax.kernels.selective_scan.mosaic_gpu import layouts
from damamba_jax.kernels.selective_scan.mosaic_gpu.carry import Carries
from damamba_jax.kernels.selective_scan.mosaic_gpu.layouts import (
    WARPGROUP,
    load,
    save,
    states_of,
)
from damamba_jax.kernels.selective_scan.mosaic_gpu.tiling import (
    QUAD,
    STEPS,
    Chunks,
    Sizes,
)
from damamba_jax.kernels.selective_scan.mosaic_gpu.walk import Walk


class ForwardOutput(NamedTuple):
    """Results of the forward kernel.

    Attributes:
      y: output, in the dtype of `x`.
      h_last: state after the last step, float32 [B, D, N / 4, 4].
      kept: state before every tile of `STEPS` steps, float32 [B, L / 8, N / 4, D, 4],
        or None.
    """

    y: jax.Array
    h_last: jax.Array
    kept: jax.Array | None


def forward(
    x: Array,
    dt: Array,
    z: Array | None,
    bc: Array,
    channels: Array,
    h0: Array | None,
    carries: Carries | None,
    *,
    sizes: Sizes,
    chunks: Chunks,
    softplus: bool,
    keep: bool,
) -> ForwardOutput:
    """Runs the scan. All arrays are padded to `sizes`.

    Args:
      x, dt, z: input, step size and gate, [B, L, D]; `z` may be None.
      bc: b and c, float32 [B, L, 2, N / 4, 4], in the order of processing.
      channels: constants of the channels, float32 [N / 4 + 1, D, 4]: log2(e) a, and in
        the last row d, bias, reverse, 0.
      h0: state before the first step, float32 [B, D, N / 4, 4], or None for zeros.
      carries: what the chunks pass on (`carry.py`), or None for a single chunk.
      sizes: the sizes of the padded arrays.
      chunks: the chunks of time.
      softplus: whether the step size is `softplus(dt + bias)`.
      keep: whether the kept states are returned too.
    """
    batch, length, dim = x.shape
    quads = sizes.states // QUAD
    inputs = {"x": x, "dt": dt, "z": z, "bc": bc, "channels": channels}
    inputs |= {"h0": h0} | (carries._asdict() if carries else {})
    inputs = {name: v for name, v in inputs.items() if v is not None}
    shape = jax.ShapeDtypeStruct
    outputs = {
        "y": shape(x.shape, x.dtype),
        "h_last": shape((batch, dim, quads, QUAD), jnp.float32),
    }
    if keep:
        kept = (batch, length // STEPS, quads, dim, QUAD)
        outputs["kept"] = shape(kept, jnp.float32)
    dtypes = [inputs[n].dtype for n in ("x", "dt", "z") if n in inputs]
    walk = Walk(sizes, chunks, backward=False)
    body = functools.partial(
        _body, names=(*inputs, *outputs), walk=walk, chunks=chunks, softplus=softplus
    )
    results = plgpu.kernel(
        body,
        out_type=tuple(outputs.values()),
        scratch_types=walk.scratch(2, dtypes),
        grid=(batch, chunks.number, dim // WARPGROUP),
        grid_names=("b", "k", "d"),
        compiler_params=layouts.PARAMS,
        kernel_name="selective_scan_forward",
    )(*inputs.values())
    return ForwardOutput(*results, *(() if keep else (None,)))


def _body(*refs, names, walk, chunks, softplus):
    scratch = refs[len(names) :]
    ref = dict(zip(names, refs[: len(names)], strict=True))
    b, k = lax.axis_index("b"), lax.axis_index("k")
    here = pl.ds(lax.axis_index("d") * WARPGROUP, WARPGROUP)
    layout = walk.layout
    row = layout.reduce((1, 2))
    a = load(layouts.transition_of(ref["channels"].at[:, here]), layout=layout)
    d = load(layouts.d_of(ref["channels"].at[:, here]), layout=row)
    bias = load(layouts.bias_of(ref["channels"].at[:, here]), layout=row)
    if "h0" in ref:
        h = load(ref["h0"].at[b, here], layout=layout)
    else:
        h = layouts.zeros(walk.shape, layout)
    if "added" in ref:

        def receive(j, h):
            decay = walk.over_row(load(ref["total"].at[b, j, here], layout=row))
            added = load(states_of(ref["added"].at[b, j, :, here]), layout=layout)
            return jnp.exp2(decay * a) * h + added

        h = lax.fori_loop(0, k * chunks.parts, receive, h)

    def step(h, values, rows):
        x, dt, *z = values
        dt = dt + bias
        dt = layouts.softplus(dt) if softplus else dt
        h = jnp.exp2(walk.over_row(dt) * a) * h + walk.over_row(dt * x) * rows[0]
        y = jnp.sum(jnp.sum(h * rows[1], axis=2), axis=1)
        y = plgpu.layout_cast(y, row) + d * x
        if z:
            y = y * (z[0] * layouts.sigmoid(z[0]))
        return h, y.astype(ref["y"].dtype)

    def store(t, y):
        save(ref["y"].at[b, t, here], y)

    def keep(h, tile):
        save(states_of(ref["kept"].at[b, k * chunks.tiles + tile, :, here]), h)

    sequences = [ref[n] for n in ("x", "dt", "z") if n in ref]
    h = walk(
        step,
        h,
        chunk=k,
        reverse=layouts.is_reverse(ref["channels"]),
        sequences=sequences,
        matrices=ref["bc"],
        here=(b, here),
        scratch=scratch,
        store=store,
        each_tile=keep if "kept" in ref else None,
    )

    @pl.when(k == chunks.number - 1)
    def _():
        save(ref["h_last"].at[b, here], h)
