"""Cuts a scan into pieces for a GPU. This module is plain Python."""

import dataclasses

# Steps of a tile. The state before each tile is kept, and the backward kernel holds the
# states of one tile in registers.
STEPS = 8
# States that lie together in memory, so that one access reads 16 bytes.
QUAD = 4
# Channels of a block of the forward kernel, and the numbers of states for which
# layouts exist.
CHANNELS = 128
STATES = (8, 16, 32)
# Blocks of the forward kernel that one multiprocessor holds. A block has 128 threads of
# up to 128 registers.
RESIDENT_BLOCKS = 4
# A chunk shorter than this loses more time at its ends than it saves by giving work to
# idle multiprocessors.
MIN_CHUNK_STEPS = 64
# Numbers of parts into which the carry kernel may cut a chunk. The carry kernel runs
# one chunk less than the other kernels, so that some multiprocessors may have one block
# less than the rest.
CARRY_PARTS = (1, 2)
# The time of a kernel, counted in steps of a block that has a multiprocessor to itself,
# is (blocks on the busiest multiprocessor + OCCUPANCY_LOAD, at least LEAST_LOAD) *
# (steps of a chunk + START_STEPS). The constants are fitted to the measurements in
# kernels/README.md. The formula is within 7 % of all of them but one, which is 9 % off.
START_STEPS = 32
OCCUPANCY_LOAD = 0.25
LEAST_LOAD = 1.5
# Steps that the forward kernel copies at once. Two buffers for sixteen steps of three
# float32 sequences take a quarter of the shared memory.
BLOCK = 16
# Up to this length, padding to a multiple of `STEPS` is cheaper than copying more steps
# at once.
SHORT_STEPS = 128


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes to which arrays are padded, so that kernels see whole blocks."""

    length: int
    dim: int
    states: int

    @property
    def tiles(self) -> int:
        """Number of tiles of `STEPS` steps."""
        return self.length // STEPS

    @property
    def block(self) -> int:
        """Number of steps that the forward kernel copies at once."""
        return BLOCK if self.length % BLOCK == 0 else STEPS

    @property
    def backward_parts(self) -> int:
        """Channels of one thread of the backward kernel: as many as registers allow."""
        return 1 if self.states < 16 else 2

    @property
    def backward_channels(self) -> int:
        """Channels of one warpgroup of the backward kernel.

        A thread holds one quad of each of its channels.
        """
        return self.backward_parts * CHANNELS * QUAD // self.states

    @property
    def backward_groups(self) -> int:
        """Warpgroups of one block of the backward kernel.

        With three of them the compiler uses at most 168 registers for a thread, so that
        twelve warps fit on a multiprocessor.
        """
        return 3


@dataclasses.dataclass(frozen=True)
class Chunks:
    """Parts of time that run at once.

    Args:
      number: the number of chunks.
      tiles: the tiles of a chunk; the last one may have fewer.
      parts: the parts of a chunk in the carry kernel. There can be more than 1 only if
        all chunks are equal.
    """

    number: int
    tiles: int
    parts: int = 1

    @property
    def passing(self) -> int:
        """Number of parts that pass on a carry: the parts of all chunks but one."""
        return (self.number - 1) * self.parts


def pad_sizes(length: int, dim: int, states: int) -> Sizes:
    """Rounds L, D and N up to the sizes that the kernels can take.

    Raises:
      ValueError: if there are more states than any layout holds.
    """
    if states > STATES[-1]:
        raise ValueError(f"`states`: expected at most {STATES[-1]}, got {states}.")
    return Sizes(
        length=_round_up(length, STEPS if length <= SHORT_STEPS else BLOCK),
        dim=_round_up(dim, CHANNELS),
        states=next(n for n in STATES if n >= states),
    )


def split_time(
    batch: int, sizes: Sizes, *, multiprocessors: int, backward: bool = False
) -> Chunks:
    """Chooses the chunks of time.

    One block of the forward kernel is 128 channels of one row of the batch. Where these
    blocks leave multiprocessors idle, time is split too. The carry kernel then has to
    pass over the inputs once more. All blocks of a kernel run at once, so that the
    kernel takes as long as the multiprocessor with the most blocks.

    The backward kernel has only one block on each multiprocessor. Its blocks run in
    rounds, and the number of chunks is the one that makes the last round fullest.

    Args:
      batch: the rows of the batch.
      sizes: the sizes of the padded arrays.
      multiprocessors: the number of multiprocessors of the GPU.
      backward: whether the chunks are for the backward kernel.
    """
    blocks = batch * (sizes.dim // CHANNELS)
    places = RESIDENT_BLOCKS * multiprocessors
    most = max(1, min(places // blocks, sizes.length // MIN_CHUNK_STEPS))

    def carry_steps(cut):
        if cut.number == 1:
            return 0.0
        return kernel_steps(
            blocks * cut.passing, cut.tiles // cut.parts, multiprocessors
        )

    def forward_steps(cut):
        return carry_steps(cut) + kernel_steps(
            blocks * cut.number, cut.tiles, multiprocessors
        )

    def cuts(chunks):
        for parts in CARRY_PARTS:
            cut = _cut(sizes, chunks, parts)
            if cut is not None and (parts == 1 or blocks * cut.passing <= places):
                yield cut

    if backward:
        groups = batch * (sizes.dim // sizes.backward_channels)
        at_once = sizes.backward_groups * multiprocessors

        def rounds_per_chunk(chunks):
            return -(-groups * chunks // at_once) / chunks

        return min(cuts(min(range(most, 0, -1), key=rounds_per_chunk)), key=carry_steps)
    return min((cut for n in range(1, most + 1) for cut in cuts(n)), key=forward_steps)


def kernel_steps(blocks: int, tiles: int, multiprocessors: int) -> float:
    """Estimates the time of the forward or the carry kernel.

    The comment at `START_STEPS` explains the formula and its unit.

    Args:
      blocks: the number of blocks, all of which run at once.
      tiles: the tiles of the chunk that each block walks through.
      multiprocessors: the number of multiprocessors of the GPU.
    """
    busiest = -(-blocks // multiprocessors)
    load = max(busiest + OCCUPANCY_LOAD, LEAST_LOAD)
    return load * (tiles * STEPS + START_STEPS)


def _cut(sizes: Sizes, chunks: int, parts: int) -> Chunks | None:
    """Cuts time into about `chunks` chunks; None if they cannot have `parts` parts."""
    unit = sizes.block // STEPS
    tiles = _round_up(-(-sizes.tiles // chunks), unit)
    if parts > 1 and (sizes.tiles % tiles or tiles % (parts * unit)):
        return None
    return Chunks(-(-sizes.tiles // tiles), tiles, parts)


def _round_up(n: int, unit: int) -> int:
    return -(-n // unit) * unit
