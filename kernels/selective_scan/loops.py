"""Loops of `"chunked"` over a batch: blocks of rows, chunks of time, steps."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

# Steps between kept states: a sixteenth of all states is kept, and the backward pass
# holds sixteen more.
CHUNK_STEPS = 16
# Elements of the state that a CPU advances together. They are few enough for its
# caches, and many enough that XLA splits each step over two cores.
CPU_BLOCK_ELEMENTS = 96 * 1024


@dataclasses.dataclass(frozen=True)
class Plan:
    """The loops over one set of arrays.

    Args:
      length: steps of time.
      rows: rows of the batch that advance together.
      blocks: groups of rows, one after the other; `rows * blocks` is the batch.
      chunk: steps between kept states.
      reverse: whether the scan runs from the last time to the first.
      polynomial: whether exponentials are computed by `elementary.exp2`.
    """

    length: int
    rows: int
    blocks: int
    chunk: int
    reverse: bool
    polynomial: bool

    @property
    def num_chunks(self) -> int:
        """Number of chunks of time. The last chunk may be shorter."""
        return -(-self.length // self.chunk)

    def bounds(self, k: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the first step of chunk `k`, and the first step after it."""
        first = k * self.chunk
        return first, jnp.minimum(first + self.chunk, self.length)

    def time(self, i: jax.Array | int) -> jax.Array | int:
        """Returns the time at which step `i` of the processing order happens."""
        return self.length - 1 - i if self.reverse else i

    def split(self, v: jax.Array) -> jax.Array:
        """Reshapes [B, ...] to [rows, blocks, ...] without moving data."""
        return v.reshape(self.rows, self.blocks, *v.shape[1:])


def plan(
    batch: int, length: int, dim: int, states: int, *, reverse: bool, platform: str
) -> Plan:
    """Chooses the loops for the sizes and the platform.

    On a CPU the rows of one block are strided over the batch, so that a batch that is
    sharded over devices is never gathered. Elsewhere all rows advance together.
    """
    rows = batch
    if platform == "cpu":
        most = max(1, CPU_BLOCK_ELEMENTS // (dim * states))
        rows = max(r for r in range(1, min(batch, most) + 1) if batch % r == 0)
    return Plan(
        length=length,
        rows=rows,
        blocks=batch // rows,
        chunk=min(CHUNK_STEPS, length),
        reverse=reverse,
        polynomial=platform == "cpu",
    )


def get(v: jax.Array, j: jax.Array | int, t: jax.Array | int) -> jax.Array:
    """Reads `v[:, j, t]` in float32; `t` is clamped into the array."""
    start = (0, j, t, *[0] * (v.ndim - 3))
    size = (v.shape[0], 1, 1, *v.shape[3:])
    return lax.dynamic_slice(v, start, size)[:, 0, 0].astype(jnp.float32)


def put(
    v: jax.Array, value: jax.Array, j: jax.Array | int, t: jax.Array | int
) -> jax.Array:
    """Returns `v` with `v[:, j, t] = value`; `t` is clamped into the array."""
    start = (0, j, t, *[0] * (v.ndim - 3))
    return lax.dynamic_update_slice(v, value[:, None, None], start)
