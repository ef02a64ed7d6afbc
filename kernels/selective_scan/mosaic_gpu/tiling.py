"""Cuts of a scan into pieces for a GPU; plain Python."""

import dataclasses

# Steps of a tile: a state is kept before each, and the backward kernel holds the states
# of one in registers.
STEPS = 8
# States that lie together in memory: one access of 16 bytes.
QUAD = 4
# Channels of a block of the forward kernel, and the numbers of states for which
# layouts exist.
CHANNELS = 128
STATES = (8, 16, 32)
# Blocks of the forward kernel that one multiprocessor holds: 128 threads of up to 128
# registers.
RESIDENT_BLOCKS = 4
# A shorter chunk costs more at its ends than idle multiprocessors do.
MIN_CHUNK_STEPS = 64
# Into how many parts the carry kernel may cut a chunk. It runs one chunk less than the
# others do, which may leave some multiprocessors one block less than the rest.
CARRY_PARTS = (1, 2)
# What a kernel takes, in steps of a block that has a multiprocessor to itself: (blocks
# on the busiest one + OCCUPANCY_LOAD, at least LEAST_LOAD) * (steps of a chunk +
# START_STEPS). Fitted to what was measured (kernels/README.md), to 7 %; one is 9 % off.
START_STEPS = 32
OCCUPANCY_LOAD = 0.25
LEAST_LOAD = 1.5
# Steps that the forward kernel copies at once: two buffers of sixteen steps of three
# float32 sequences are a quarter of the shared memory.
BLOCK = 16
# Up to this length padding to `STEPS` is cheaper than copying more steps at once.
SHORT_STEPS = 128


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes to which arrays are padded, so that kernels see whole blocks."""

    length: int
    dim: int
    states: int

    @property
    def tiles(self) -> int:
        """Tiles of `STEPS` steps."""
        return self.length // STEPS

    @property
    def block(self) -> int:
        """Steps that the forward kernel copies at once."""
        return BLOCK if self.length % BLOCK == 0 else STEPS

    @property
    def backward_parts(self) -> int:
        """Channels of a thread of the backward kernel, as registers allow."""
        return 1 if self.states < 16 else 2

    @property
    def backward_channels(self) -> int:
        """Channels of a warpgroup of the backward kernel: a thread holds one quad."""
        return self.backward_parts * CHANNELS * QUAD // self.states

    @property
    def backward_groups(self) -> int:
        """Warpgroups of a block of the backward kernel.

        Three of them hold the compiler to 168 registers a thread, so that twelve warps
        fit on a multiprocessor.
        """
        return 3


@dataclasses.dataclass(frozen=True)
class Chunks:
    """Parts of time that run at once.

    Args:
      number: the number of chunks.
      tiles: the tiles of a chunk; the last one may have fewer.
      parts: the parts of a chunk in the carry kernel; above 1 only if all chunks are
        equal.
    """

    number: int
    tiles: int
    parts: int = 1

    @property
    def passing(self) -> int:
        """Parts that pass on a carry: those of all chunks but one."""
        return (self.number - 1) * self.parts


def pad_sizes(length: int, dim: int, states: int) -> Sizes:
    """Rounds L, D and N up.

    Raises:
      ValueError: for more states than any layout holds.
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
    leave multiprocessors idle, time is split as well, which takes a carry kernel's pass
    over the inputs. All blocks of a kernel run at once, so that it takes as long as
    the multiprocessor that holds the most of them.

    Args:
      backward: for the backward kernel, of which a multiprocessor holds one block: as
        many chunks as make its last round over the multiprocessors fullest.
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
    """Time of the forward or the carry kernel, as told at `START_STEPS`.

    Args:
      blocks: that run at once.
      tiles: the tiles of the chunk that each of them walks through.
      multiprocessors: the number of multiprocessors of the GPU.
    """
    busiest = -(-blocks // multiprocessors)
    load = max(busiest + OCCUPANCY_LOAD, LEAST_LOAD)
    return load * (tiles * STEPS + START_STEPS)


def _cut(sizes: Sizes, chunks: int, parts: int) -> Chunks | None:
    """Cuts time into about so many chunks; None if they have no such parts."""
    unit = sizes.block // STEPS
    tiles = _round_up(-(-sizes.tiles // chunks), unit)
    if parts > 1 and (sizes.tiles % tiles or tiles % (parts * unit)):
        return None
    return Chunks(-(-sizes.tiles // tiles), tiles, parts)


def _round_up(n: int, unit: int) -> int:
    return -(-n // unit) * unit
