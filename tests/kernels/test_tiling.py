"""The cut of a scan into blocks."""

import pytest

from damamba_jax.kernels.selective_scan import tiling
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS
from damamba_jax.kernels.selective_scan.tiling import Chunks, pad_sizes, split_time

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
        (8, 2048, 4, 2),
        (8, 8192, 4, 2),
        (4, 2048, 8, 1),
        (1, 131072, 66, 1),
        # A second pass costs more than half of the places left empty.
        (12, 2048, 1, 1),
        (16, 2048, 1, 1),
        (32, 2048, 1, 1),
    ],
)
def test_long_sequences_of_a_small_batch_fill_the_gpu(batch, length, number, parts):
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
