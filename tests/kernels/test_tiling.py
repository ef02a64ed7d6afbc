"""The cut of a scan into blocks."""

import numpy as np
import pytest

from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS
from damamba_jax.kernels.selective_scan.mosaic_gpu import tiling
from damamba_jax.kernels.selective_scan.mosaic_gpu.tiling import (
    Chunks,
    pad_sizes,
    split_time,
)

HOPPER = 132


def sizes_of(spec):
    return pad_sizes(spec.length, spec.dim, spec.states)


@pytest.mark.parametrize("name", ARG_SPECS)
def test_named_shapes_need_no_padding_of_time(name):
    spec = ARG_SPECS[name]
    assert sizes_of(spec).length == spec.length


@pytest.mark.parametrize(
    ("length", "dim", "states"),
    [(1, 1, 1), (33, 65, 9), (129, 128, 32), (1000, 700, 16)],
)
def test_padding_is_little_and_whole(length, dim, states):
    sizes = pad_sizes(length, dim, states)
    assert length <= sizes.length < length + tiling.BLOCK
    assert sizes.length % sizes.block == 0
    assert dim <= sizes.dim < dim + tiling.CHANNELS
    assert sizes.states in tiling.STATES
    assert sizes.states >= states


def test_more_states_than_any_layout_holds():
    with pytest.raises(ValueError, match="`states`: expected at most 32, got 33"):
        pad_sizes(8, 8, 33)


@pytest.mark.parametrize("name", ["window_512", "window_1024", "paper_visual"])
def test_a_batch_that_fills_the_gpu_is_not_split(name):
    spec = ARG_SPECS[name]
    sizes = sizes_of(spec)
    chunks = split_time(spec.batch, sizes, multiprocessors=HOPPER)
    assert chunks == Chunks(number=1, tiles=sizes.tiles)


@pytest.mark.parametrize(
    ("batch", "length", "number", "parts"),
    [
        # What was fastest of all that was measured.
        (4, 2048, 8, 1),
        (8, 2048, 4, 2),
        (12, 2048, 1, 1),
        (16, 2048, 1, 1),
        (32, 2048, 1, 1),
        # Of two or three that were.
        (8, 8192, 4, 2),
        (1, 131072, 66, 1),
    ],
)
def test_long_sequences_of_a_small_batch_are_split_where_it_pays(
    batch, length, number, parts
):
    sizes = pad_sizes(length, 1024, 16)
    chunks = split_time(batch, sizes, multiprocessors=HOPPER)
    assert (chunks.number, chunks.parts) == (number, parts)
    # All blocks run at once.
    blocks = batch * sizes.dim // tiling.CHANNELS
    places = tiling.RESIDENT_BLOCKS * HOPPER
    assert blocks * max(chunks.number, chunks.passing) <= places


@pytest.mark.parametrize(
    ("name", "number"), [("sequence_2k", 6), ("sequence_8k", 6), ("recording_131k", 49)]
)
def test_the_last_round_of_the_backward_kernel_is_full(name, number):
    spec = ARG_SPECS[name]
    sizes = sizes_of(spec)
    chunks = split_time(spec.batch, sizes, multiprocessors=HOPPER, backward=True)
    assert chunks.number == number
    groups = chunks.number * spec.batch * spec.dim // sizes.backward_channels
    rounds = groups / (sizes.backward_groups * HOPPER)
    assert 0.9 < rounds % 1


# Forward, bfloat16, L 2048, D 1024, on an H100: ms by rows, chunks and parts, where all
# blocks run at once. The table of kernels/README.md.
MEASURED = {
    (4, 8, 1): 0.111, (4, 8, 2): 0.114, (4, 12, 1): 0.112, (4, 16, 1): 0.120,
    (8, 1, 1): 0.273, (8, 2, 1): 0.252, (8, 2, 2): 0.201, (8, 3, 1): 0.222,
    (8, 4, 1): 0.205, (8, 4, 2): 0.187, (8, 5, 1): 0.209, (8, 6, 1): 0.208,
    (8, 8, 1): 0.207, (12, 1, 1): 0.273, (12, 2, 1): 0.330, (12, 2, 2): 0.307,
    (12, 4, 1): 0.297, (16, 1, 1): 0.274, (16, 2, 1): 0.332, (16, 2, 2): 0.314,
    (16, 3, 1): 0.341, (16, 4, 1): 0.355, (32, 1, 1): 0.430, (32, 2, 1): 0.592,
    (32, 2, 2): 0.591,
}  # fmt: skip


def test_the_formula_tells_what_was_measured():
    sizes, ratios = pad_sizes(2048, 1024, 16), []
    for (rows, number, parts), ms in MEASURED.items():
        cut, blocks = tiling._cut(sizes, number, parts), 8 * rows
        assert (cut.number, cut.parts) == (number, parts)
        steps = tiling.kernel_steps(blocks * number, cut.tiles, HOPPER)
        if number > 1:
            tiles = cut.tiles // parts
            steps += tiling.kernel_steps(blocks * cut.passing, tiles, HOPPER)
        ratios.append(steps / ms)
    errors = np.sort(np.abs(np.array(ratios) / np.median(ratios) - 1))
    assert errors[-2] < 0.07 and errors[-1] < 0.09


def test_the_carry_kernel_loads_multiprocessors_evenly():
    sizes = pad_sizes(2048, 1024, 16)
    chunks = split_time(8, sizes, multiprocessors=HOPPER)
    assert chunks.passing == (chunks.number - 1) * chunks.parts == 6
    # Whole, the three chunks that pass a carry on would load some twice as much.
    assert 2.9 < chunks.passing * 64 / HOPPER <= 3


def test_unequal_chunks_are_not_cut_further():
    sizes = pad_sizes(136, 128, 8)
    assert tiling._cut(sizes, 2, 1) == Chunks(number=2, tiles=10)
    assert tiling._cut(sizes, 2, 2) is None


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("length", [1, 63, 64, 200, 4096, 5001, 131072])
@pytest.mark.parametrize("batch", [1, 3, 50])
def test_chunks_cover_time_once(length, batch, backward):
    sizes = pad_sizes(length, 256, 16)
    chunks = split_time(batch, sizes, multiprocessors=HOPPER, backward=backward)
    assert (chunks.number - 1) * chunks.tiles < sizes.tiles
    assert chunks.number * chunks.tiles >= sizes.tiles
    # Every chunk is made of whole copies, the last one too.
    assert chunks.tiles * tiling.STEPS % sizes.block == 0 or chunks.number == 1
    # So are the parts, and then all chunks are alike.
    assert chunks.parts == 1 or chunks.number * chunks.tiles == sizes.tiles
    assert chunks.tiles * tiling.STEPS % (chunks.parts * sizes.block) == 0 or (
        chunks.number == 1
    )


def test_short_sequences_are_not_cut_to_pieces():
    sizes = pad_sizes(96, 64, 8)
    assert split_time(1, sizes, multiprocessors=HOPPER).number == 1
