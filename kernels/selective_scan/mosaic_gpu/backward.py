"""Backward kernel of the selective scan (Mosaic GPU).

A warpgroup owns some channels of one chunk of time. It walks through the chunk's tiles
of 8 steps from last to first. It recomputes the states of a tile from the kept state
before the tile, and then the adjoint goes back through them. Sums over n and over
channels leave the registers as partial sums in shared memory, and are finished once per
tile. Maths and traffic are in `kernels/README.md`.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from damamba_jax.array_types import Array
from damamba_jax.kernels.selective_scan.mosaic_gpu import layouts
from damamba_jax.kernels.selective_scan.mosaic_gpu.carry import Carries
from damamba_jax.kernels.selective_scan.mosaic_gpu.layouts import load, save, states_of
from damamba_jax.kernels.selective_scan.mosaic_gpu.tiling import (
    QUAD,
    STEPS,
    Chunks,
    Sizes,
)
from damamba_jax.kernels.selective_scan.mosaic_gpu.walk import tiles_of

# On the way back, the next tile is loaded before this step of a tile. That is early
# enough to hide the latency of device memory, and late enough that registers are free.
FETCH_BEFORE = 2
# Unused columns between rows of partial sums, so that lanes that hold different states
# of a channel write to different banks.
PADDING = 8


def backward(
    x: Array, dt: Array, z: Array | None, dy: Array, bc: Array, channels: Array,
    kept: Array, dh_last: Array | None, carries: Carries | None, *,
    sizes: Sizes, chunks: Chunks, softplus: bool, to_h0: bool,
) -> dict[str, Array]:  # fmt: skip
    """Computes all gradients. All arrays are padded to `sizes`.

    Args:
      x, dt, z, dy: input, step size, gate and gradient of y, [B, L, D]; `z` may be
        None.
      bc: b and c, float32 [B, L, 2, N / 4, 4], in the order of processing.
      channels: constants of the channels, float32 [N / 4 + 1, D, 4]: log2(e) a, and in
        the last row d, bias, reverse, 0.
      kept: state before every tile, float32 [B, L / 8, N / 4, D, 4].
      dh_last: adjoint of the last state, float32 [B, D, N / 4, 4], or None for zeros.
      carries: what the chunks pass back (`carry.py`), or None for a single chunk.
      sizes: the sizes of the padded arrays.
      chunks: the chunks of time.
      softplus: whether the step size is `softplus(dt + bias)`.
      to_h0: whether the adjoint of the first state is wanted.

    Returns:
      `dx`, `ddt` and, with a gate, `dz` in the dtypes of x, dt and z; and `dh0` in the
      form of `dh_last`, if it is wanted. The other results are float32 partial sums,
      which the caller adds up: `dbc` [B, blocks of D, L, 2, N / 4, 4] over axis 1, and
      `da` [B, K, N / 4, D, 4], `dd` and `dbias` [B, K, D] over axes 0 and 1.
    """
    batch, length, dim = x.shape
    quads = sizes.states // QUAD
    width, groups = sizes.backward_channels, sizes.backward_groups
    inputs = {"x": x, "dt": dt, "z": z, "dy": dy, "bc": bc, "channels": channels}
    inputs |= {"kept": kept, "dh_last": dh_last}
    inputs |= carries._asdict() if carries else {}
    inputs = {name: v for name, v in inputs.items() if v is not None}
    shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    outputs = {
        "dx": jax.ShapeDtypeStruct(x.shape, x.dtype),
        "ddt": jax.ShapeDtypeStruct(x.shape, dt.dtype),
        "dbc": shape((batch, dim // width, length, 2, quads, QUAD)),
        "da": shape((batch, chunks.number, quads, dim, QUAD)),
        "dd": shape((batch, chunks.number, dim)),
        "dbias": shape((batch, chunks.number, dim)),
    }
    if to_h0:
        outputs["dh0"] = shape((batch, dim, quads, QUAD))
    if z is not None:
        outputs["dz"] = jax.ShapeDtypeStruct(x.shape, z.dtype)
    smem = functools.partial(plgpu.SMEM, dtype=jnp.float32)
    scratch = [
        smem((groups, 2, STEPS, 2, quads, QUAD)),
        # All sums that are ordered by steps lie in one array. A step has one offset in
        # that array, which depends on the direction.
        smem((groups, STEPS, 3 + 3 * quads, width + PADDING)),
        smem((groups, STEPS, 2, layouts.quad_channels(quads * QUAD), quads, QUAD)),
        plgpu.Barrier(num_barriers=2 * groups),
    ]
    pieces = (batch, chunks.number, dim // width)
    body = functools.partial(
        _body, names=(*inputs, *outputs), sizes=sizes, chunks=chunks, pieces=pieces,
        softplus=softplus,
    )  # fmt: skip
    results = plgpu.kernel(
        body,
        out_type=tuple(outputs.values()),
        scratch_types=scratch,
        grid=(-(-math.prod(pieces) // groups),),
        grid_names=("block",),
        num_threads=groups,
        thread_name="group",
        compiler_params=layouts.PARAMS,
        kernel_name="selective_scan_backward",
    )(*inputs.values())
    return dict(zip(outputs, results, strict=True))


def _body(*refs, names, sizes, chunks, pieces, softplus):
    *refs, bc_s, steps_s, dbc_s, arrived = refs
    ref = dict(zip(names, refs, strict=True))
    reverse = layouts.is_reverse(ref["channels"])
    group = lax.axis_index("group")
    b, k, block = _piece(group, sizes.backward_groups, pieces)
    bc_s, steps_s, dbc_s = (r.at[group] for r in (bc_s, steps_s, dbc_s))
    first, tiles = k * chunks.tiles, tiles_of(sizes, chunks, k)
    states = sizes.states
    quads = states // QUAD
    # The channels of a thread lie in different parts of the warpgroup's channels.
    size, parts = layouts.quad_channels(states), range(sizes.backward_parts)
    width = size * len(parts)
    here = pl.ds(block * width, width)
    places = [pl.ds(block * width + p * size, size) for p in parts]
    part = [pl.ds(p * size, size) for p in parts]
    full = (size, quads, QUAD)
    layout = layouts.quads(states)
    row, col = layout.reduce((1, 2)), layout.reduce((0,))
    sums_layout = layouts.state_sums(states)
    tile = sums_layout.reduce((2,))

    def over_row(v):
        return layouts.broadcast(v, (0,), full, layout)

    def over_tile(v):
        return layouts.broadcast(v, (1,), (STEPS, width), tile)

    def load_states(ref, view=states_of):
        return [load(view(ref.at[:, place]), layout=layout) for place in places]

    def load_channels(view):
        return over_tile(
            load(view(ref["channels"].at[:, here]), layout=tile.reduce((0,)))
        )

    a = load_states(ref["channels"], layouts.transition_of)
    d, bias = load_channels(layouts.d_of), load_channels(layouts.bias_of)

    def times(i):
        i = jnp.where(reverse, sizes.tiles - 1 - i, i)
        return pl.ds(i * STEPS, STEPS)

    sequences = [n for n in ("x", "dt", "dy", "z") if n in ref]

    def fetch(i):
        return [load(ref[n].at[b, times(i), here], layout=tile) for n in sequences]

    def fetch_all(i):
        # The direction is read again with every tile. If it were known before the loop,
        # the compiler would compute all addresses there, and they would take too many
        # registers.
        reverse = layouts.is_reverse(ref["channels"])
        return fetch(i), load_states(ref["kept"].at[b, i]), reverse

    def prepare(values):
        x, v, dy, *z = (value.astype(jnp.float32) for value in values)
        return x, v + bias, dy, *z

    def prefetch(i):
        # This loads into the L2 cache. A load into registers would delay later reads of
        # shared memory until it has arrived.
        for name in sequences:
            plgpu.async_prefetch(ref[name].at[b, times(i), here])
        plgpu.async_prefetch(ref["kept"].at[b, i, :, here])

    def fetch_matrices(i, slot):
        source = ref["bc"].at[b, pl.ds(i * STEPS, STEPS)]
        plgpu.copy_gmem_to_smem(source, bc_s.at[slot], arrived.at[2 * group + slot])

    dt_s, drive_s, g_s = (steps_s.at[:, i, pl.ds(0, width)] for i in range(3))
    drive_sum, decay_sum, out_sum = (
        steps_s.at[:, pl.ds(3 + i * quads, quads)] for i in range(3)
    )

    def rows(source, place):
        return [over_row(load(source.at[place, p], layout=row)) for p in part]

    def sum_states(target, place, values):
        for p, value in zip(part, values, strict=True):
            here = target.at[place, :, p]
            save(here.transpose((1, 0)), jnp.sum(value, axis=2))

    def step(j, carry):
        m, da, dd, dbias, (values, h, reverse) = carry
        i = first + tiles - 1 - j
        # The row of each step of the tile. Rows lie in the order of time.
        at = [jnp.where(reverse, STEPS - 1 - s, s) for s in range(STEPS)]
        following = jnp.maximum(i - 1, first)
        slot = lax.rem(j, 2)
        x, v, dy, *z = prepare(values)
        dt = layouts.softplus(v) if softplus else v
        save(dt_s, dt)
        save(drive_s, dt * x)
        save(g_s, dy * (z[0] * layouts.sigmoid(z[0])) if z else dy)
        plgpu.barrier_wait(arrived.at[2 * group + slot])
        plgpu.commit_smem()
        # Now every thread has left the previous tile, and its slot is free again.
        fetch_matrices(following, 1 - slot)
        prefetch(following)

        def matrix(s, which):
            value = load(bc_s.at[slot, s, which], layout=col)
            return layouts.broadcast(value, (1, 2), full, layout)

        hs = [h]
        for s in range(STEPS):
            dt_row, drive = (rows(v, at[s]) for v in (dt_s, drive_s))
            b_row = matrix(s, 0)
            hs.append(
                [
                    jnp.exp2(dt_row[p] * a[p]) * hs[-1][p] + drive[p] * b_row
                    for p in range(len(part))
                ]
            )
            if z:
                c_row = matrix(s, 1)
                sum_states(out_sum, at[s], [h_p * c_row for h_p in hs[-1]])
        m, da, fetched = list(m), list(da), None
        for s in reversed(range(STEPS)):
            if s == FETCH_BEFORE:
                # The end of this tile needs the sequences again, and there are free
                # registers for them only from here on.
                values = fetch(i)
                fetched = fetch_all(following)
            dt_row, drive, g_row = (rows(v, at[s]) for v in (dt_s, drive_s, g_s))
            b_row, c_row = matrix(s, 0), matrix(s, 1)
            m = [m[p] + g_row[p] * c_row for p in range(len(part))]
            db = sum(m[p] * drive[p] for p in range(len(part)))
            dc = sum(g_row[p] * hs[s + 1][p] for p in range(len(part)))
            to_drive = [m_p * b_row for m_p in m]
            m = [jnp.exp2(dt_row[p] * a[p]) * m[p] for p in range(len(part))]
            mh = [m[p] * hs[s][p] for p in range(len(part))]
            da = [da[p] + mh[p] * dt_row[p] for p in range(len(part))]
            save(dbc_s.at[s, 0], db)
            save(dbc_s.at[s, 1], dc)
            sum_states(drive_sum, at[s], to_drive)
            sum_states(decay_sum, at[s], [mh[p] * a[p] for p in range(len(part))])
        plgpu.commit_smem()

        def total(sums):
            addends = sums.at[:, :, pl.ds(0, width)].transpose((0, 2, 1))
            return jnp.sum(load(addends, layout=sums_layout), axis=2)

        x, v, dy, *z = prepare(values)
        dt, g = load(dt_s, layout=tile), load(g_s, layout=tile)
        to_drive = total(drive_sum)
        ddt = total(decay_sum) * layouts.LN2 + x * to_drive
        ddt = ddt * layouts.sigmoid(v) if softplus else ddt
        results = {"dx": dt * to_drive + d * g, "ddt": ddt}
        if z:
            open_ = layouts.sigmoid(z[0])
            slope = open_ * (1.0 + z[0] * (1.0 - open_))
            results["dz"] = dy * (total(out_sum) + d * x) * slope
        dbc = _sum_channels(dbc_s, size, states)
        for name, value in results.items():
            save(ref[name].at[b, times(i), here], value.astype(ref[name].dtype))
        save(ref["dbc"].at[b, block, pl.ds(i * STEPS, STEPS)], dbc)
        return tuple(m), tuple(da), dd + g * x, dbias + ddt, fetched

    zero_states = tuple(layouts.zeros(full, layout) for _ in parts)
    m = zero_states
    if "dh_last" in ref:
        m = [load(ref["dh_last"].at[b, place], layout=layout) for place in places]
    if "added" in ref:

        def receive(j, m):
            # Chunk 0 passes nothing back, so that there are no entries for it.
            j = chunks.passing - 1 - j
            total = ref["total"].at[b, j]
            added = load_states(ref["added"].at[b, j])
            decays = [over_row(load(total.at[place], layout=row)) for place in places]
            return tuple(
                jnp.exp2(decays[p] * a[p]) * m[p] + added[p] for p in range(len(part))
            )

        received = chunks.passing - k * chunks.parts
        m = lax.fori_loop(0, received, receive, tuple(m))
    zero = layouts.zeros((STEPS, width), tile)
    end = first + tiles - 1
    fetch_matrices(end, 0)
    fetched = fetch_all(end)
    init = (tuple(m), zero_states, zero, zero, fetched)
    m, da, dd, dbias, _ = lax.fori_loop(0, tiles, step, init)
    # The last iteration has started one more copy, and a copy must end before the
    # kernel does.
    plgpu.barrier_wait(arrived.at[2 * group + tiles % 2])
    for place, value in zip(places, da, strict=True):
        save(states_of(ref["da"].at[b, k, :, place]), value)

    if "dh0" in ref:

        @pl.when(k == 0)
        def _():
            for place, value in zip(places, m, strict=True):
                save(ref["dh0"].at[b, place], value)

    save(dt_s, dd)
    save(drive_s, dbias)
    plgpu.commit_smem()
    for name, source in (("dd", dt_s), ("dbias", drive_s)):
        for place, p in zip(places, part, strict=True):
            addends = [load(source.at[s, p], layout=row) for s in range(STEPS)]
            save(ref[name].at[b, k, place], sum(addends[1:], addends[0]))


def _piece(group, groups, pieces):
    """Returns the batch row, the chunk and the block of channels of a warpgroup.

    The last block may have more warpgroups than there are pieces left. The extra ones
    do the last piece again and write the same values.
    """
    batch, chunks, blocks = pieces
    index = jnp.minimum(
        lax.axis_index("block") * groups + group, batch * chunks * blocks - 1
    )
    rest = index // blocks
    return rest // chunks, lax.rem(rest, chunks), lax.rem(index, blocks)


def _sum_channels(dbc_s, channels, states):
    """Returns the sums over a warpgroup's channels, [STEPS, 2, N / 4, 4]."""
    split = layouts.WARPGROUP // (STEPS * 2 * (states // QUAD))
    layout = layouts.channel_sums(states)
    addends = [
        load(dbc_s.at[:, :, pl.ds(c, split)], layout=layout)
        for c in range(0, channels, split)
    ]
    return jnp.sum(sum(addends[1:], addends[0]), axis=2)
