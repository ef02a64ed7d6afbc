"""Carry kernel of the selective scan (Mosaic GPU): what a chunk of time passes on.

Where time is split over blocks, this kernel first runs each chunk from zeros and keeps
only what the chunk passes on. The forward and the backward kernel start a chunk from
the carries of the chunks before it.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from damamba_jax.array_types import Array
from damamba_jax.kernels.selective_scan.mosaic_gpu import layouts
from damamba_jax.kernels.selective_scan.mosaic_gpu.layouts import (
    WARPGROUP,
    load,
    save,
    states_of,
)
from damamba_jax.kernels.selective_scan.mosaic_gpu.tiling import QUAD, Chunks, Sizes
from damamba_jax.kernels.selective_scan.mosaic_gpu.walk import Walk


class Carries(NamedTuple):
    """States that P parts of chunks pass on.

    A part that receives the state h passes on `added + exp2(total a) h`, where `a`
    contains the factor log2(e). The chunk that no other chunk follows is left out. It
    is the last chunk, or the first one for the adjoint.

    Attributes:
      added: the state that a part reaches from zeros, float32 [B, P, N / 4, D, 4].
      total: the sum of the step sizes of a part, float32 [B, P, D].
    """

    added: jax.Array
    total: jax.Array


def carries(
    drive: Array,
    z: Array | None,
    dt: Array,
    bc: Array,
    channels: Array,
    *,
    sizes: Sizes,
    chunks: Chunks,
    softplus: bool,
    adjoint: bool,
) -> Carries:
    """Runs the parts of chunks from zeros.

    The forward form is `h = p h + (s drive) b`, where `drive` is x and `z` is None. The
    adjoint runs from the last step to the first: `m = p (m + (drive silu(z)) c)`, where
    `drive` is the gradient of y.

    Args:
      drive: x, or the gradient of y, [B, L, D].
      z: gate, [B, L, D], or None.
      dt: step size, before its bias and softplus, [B, L, D].
      bc: b and c, float32 [B, L, 2, N / 4, 4], in the order of processing.
      channels: constants of the channels, float32 [N / 4 + 1, D, 4]: log2(e) a, and in
        the last row d, bias, reverse, 0.
      sizes: the sizes of the padded arrays.
      chunks: the chunks of time.
      softplus: whether the step size is `softplus(dt + bias)`.
      adjoint: whether the adjoint is run.
    """
    batch, length, dim = dt.shape
    quads = sizes.states // QUAD
    inputs = {"drive": drive, "dt": dt, "z": z, "bc": bc, "channels": channels}
    inputs = {name: v for name, v in inputs.items() if v is not None}
    shape = jax.ShapeDtypeStruct
    passing = chunks.passing
    # The adjoint leaves out the first chunk.
    first = chunks.parts if adjoint else 0
    parts = Chunks(chunks.number * chunks.parts, chunks.tiles // chunks.parts)
    outputs = (
        shape((batch, passing, quads, dim, QUAD), jnp.float32),
        shape((batch, passing, dim), jnp.float32),
    )
    dtypes = [inputs[n].dtype for n in ("drive", "dt", "z") if n in inputs]
    walk = Walk(sizes, parts, backward=adjoint)
    body = functools.partial(
        _body, names=(*inputs, *Carries._fields), walk=walk, first=first,
        softplus=softplus,
    )  # fmt: skip
    return Carries(
        *plgpu.kernel(
            body,
            out_type=outputs,
            scratch_types=walk.scratch(1, dtypes),
            grid=(batch, passing, dim // WARPGROUP),
            grid_names=("b", "k", "d"),
            compiler_params=layouts.PARAMS,
            kernel_name=f"selective_scan_{'adjoint_' * adjoint}carry",
        )(*inputs.values())
    )


def _body(*refs, names, walk, first, softplus):
    scratch = refs[len(names) :]
    ref = dict(zip(names, refs[: len(names)], strict=True))
    b, k = lax.axis_index("b"), lax.axis_index("k")
    here = pl.ds(lax.axis_index("d") * WARPGROUP, WARPGROUP)
    layout = walk.layout
    row = layout.reduce((1, 2))
    a = load(layouts.transition_of(ref["channels"].at[:, here]), layout=layout)
    bias = load(layouts.bias_of(ref["channels"].at[:, here]), layout=row)

    def step(state, values, rows):
        h, total = state
        drive, dt, *z = values
        dt = dt + bias
        dt = layouts.softplus(dt) if softplus else dt
        decay = jnp.exp2(walk.over_row(dt) * a)
        if walk.backward:
            if z:
                drive = drive * (z[0] * layouts.sigmoid(z[0]))
            h = decay * (h + walk.over_row(drive) * rows[0])
        else:
            h = decay * h + walk.over_row(dt * drive) * rows[0]
        return (h, total + dt), None

    sequences = [ref[n] for n in ("drive", "dt", "z") if n in ref]
    matrix = pl.ds(1 if walk.backward else 0, 1)
    h, total = walk(
        step,
        (layouts.zeros(walk.shape, layout), layouts.zeros((WARPGROUP,), row)),
        chunk=first + k,
        reverse=layouts.is_reverse(ref["channels"]),
        sequences=sequences,
        matrices=ref["bc"].at[:, :, matrix],
        here=(b, here),
        scratch=scratch,
    )
    save(states_of(ref["added"].at[b, k, :, here]), h)
    save(ref["total"].at[b, k, here], total)
