"""Walk of the channel-per-thread kernels through time.

Blocks of steps are copied into shared memory before they are needed: the sequences of
128 channels, and the rows of b and c, which all channels share. Early loads into
registers would need no shared memory. But a warp waits for them together with its later
reads of shared memory, which took a quarter of all cycles when it was measured.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from damamba_jax.array_types import Array
from damamba_jax.kernels.selective_scan.mosaic_gpu import layouts
from damamba_jax.kernels.selective_scan.mosaic_gpu.layouts import WARPGROUP, load
from damamba_jax.kernels.selective_scan.mosaic_gpu.tiling import (
    QUAD,
    STEPS,
    Chunks,
    Sizes,
)

# Steps that are unrolled, so that their reads of shared memory overlap with arithmetic.
UNROLL = 4


@dataclasses.dataclass(frozen=True)
class Walk:
    """A walk of one warpgroup through one chunk of time.

    Args:
      sizes: the sizes of the padded arrays.
      chunks: the chunks of time.
      backward: whether the walk goes from the last step of the chunk to its first.
    """

    sizes: Sizes
    chunks: Chunks
    backward: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the states in registers."""
        return (WARPGROUP, self.sizes.states // QUAD, QUAD)

    @property
    def layout(self) -> Any:
        """Layout of the state in registers."""
        return layouts.channel_per_thread(self.sizes.states)

    def over_row(self, v: Array) -> Array:
        """Broadcasts one value of each channel over the states."""
        return layouts.broadcast(v, (0,), self.shape, self.layout)

    def scratch(self, num_matrices: int, dtypes: list[Any]) -> list[Any]:
        """Declares the shared memory of a walk: barriers, and two buffers per array.

        Args:
          num_matrices: the number of rows of a step that all channels share.
          dtypes: the types of the sequences.
        """
        block = self.sizes.block
        rows = (2, block, num_matrices, *self.shape[1:])
        sequence = (2, block, WARPGROUP)
        return [
            plgpu.Barrier(num_arrivals=1 + len(dtypes), num_barriers=2),
            plgpu.SMEM(rows, jnp.float32),
            *(plgpu.SMEM(sequence, dtype) for dtype in dtypes),
        ]

    def __call__(
        self,
        step: Callable[..., Any],
        carry: Any,
        *,
        chunk: jax.Array,
        reverse: jax.Array,
        sequences: list[Any],
        matrices: Any,
        here: tuple[Any, Any],
        scratch: tuple[Any, ...],
        store: Callable[..., None] | None = None,
        each_tile: Callable[..., None] | None = None,
    ) -> Any:
        """Calls `carry, output = step(carry, values, rows)` for every step.

        Args:
          step: function of the carry, the float32 values [128] of all sequences, and
            the rows of all matrices, broadcast to the states.
          carry: the carry before the first step.
          chunk: the number of the chunk that is walked.
          reverse: whether the scan processes time L - 1 first.
          sequences: references to the sequences [B, L, D].
          matrices: reference to [B, L, number, N / 4, 4] in the order of processing.
          here: the row of the batch and the slice of the channels.
          scratch: the shared memory that `scratch` declares.
          store: `store(time, output)` is called for every step. A backward walk has
            none.
          each_tile: `each_tile(carry, tile)` is called before every `STEPS` steps,
            where `tile` is the number of the tile within the chunk.

        Returns:
          The carry after the last step.
        """
        arrived, rows, *buffers = scratch
        layout = self.layout
        row = layout.reduce((1, 2))
        size, length = self.sizes.block, self.sizes.length
        first = chunk * (self.chunks.tiles * STEPS)
        blocks = tiles_of(self.sizes, self.chunks, chunk) * STEPS // size
        turned = reverse != self.backward
        # Unrolled steps lie side by side, in rising or in falling order.
        places = [jnp.where(turned, UNROLL - 1 - s, s) for s in range(UNROLL)]

        def lowest(walked, length):
            """Returns the lowest place of the unrolled steps that follow `walked`."""
            return jnp.where(turned, length - UNROLL - walked, walked)

        def copy(n, slot):
            n = jnp.minimum(n, blocks - 1)
            start = first + (blocks - 1 - n if self.backward else n) * size
            source = matrices.at[here[0], pl.ds(start, size)]
            plgpu.copy_gmem_to_smem(source, rows.at[slot], arrived.at[slot])
            start = jnp.where(reverse, length - size - start, start)
            for ref, buffer in zip(sequences, buffers, strict=True):
                source = ref.at[here[0], pl.ds(start, size), here[1]]
                plgpu.copy_gmem_to_smem(source, buffer.at[slot], arrived.at[slot])

        def several(n, slot, q, carry):
            outputs = []
            at = lowest(q * UNROLL, size)
            for s in range(UNROLL):
                # The step's number in the block: in the order of the walk, and in the
                # order of processing.
                walked = q * UNROLL + s
                processed = size - 1 - walked if self.backward else walked
                place = at + places[s]
                values = [
                    load(buffer.at[slot, place], layout=row).astype(jnp.float32)
                    for buffer in buffers
                ]
                matrix_rows = [
                    layouts.broadcast(
                        load(rows.at[slot, processed, m], layout=layout.reduce((0,))),
                        (1, 2), self.shape, layout,
                    )
                    for m in range(rows.shape[2])
                ]  # fmt: skip
                carry, output = step(carry, values, matrix_rows)
                outputs.append(output)
            # All stores come together after all reads, because the compiler does not
            # move a read of shared memory across a store.
            if store is not None:
                time = lowest(first + n * size + q * UNROLL, length)
                for place, output in zip(places, outputs, strict=True):
                    store(time + place, output)
            return carry

        def tile(n, slot, i, carry):
            if each_tile is not None:
                each_tile(carry, n * (size // STEPS) + i)
            per_tile = STEPS // UNROLL
            return lax.fori_loop(
                i * per_tile, (i + 1) * per_tile,
                lambda q, carry: several(n, slot, q, carry), carry,
            )  # fmt: skip

        def block(n, carry):
            slot = lax.rem(n, 2)
            plgpu.barrier_wait(arrived.at[slot])
            # After this, every thread has left the previous block, and its buffers are
            # free again.
            plgpu.commit_smem()
            copy(n + 1, 1 - slot)
            return lax.fori_loop(
                0, size // STEPS,
                lambda i, carry: tile(n, slot, i, carry), carry,
            )  # fmt: skip

        copy(0, 0)
        carry = lax.fori_loop(0, blocks, block, carry)
        # The last block has started one more copy, and a copy must end before the
        # kernel does.
        plgpu.barrier_wait(arrived.at[blocks % 2])
        return carry


def tiles_of(sizes: Sizes, chunks: Chunks, chunk: jax.Array | int) -> jax.Array | int:
    """Returns the number of tiles of a chunk. The last chunk may have fewer tiles."""
    if sizes.tiles % chunks.tiles == 0:
        return chunks.tiles
    return jnp.minimum(chunks.tiles, sizes.tiles - chunk * chunks.tiles)
