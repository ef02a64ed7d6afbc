"""Lets a function that is written for one batch run on sharded and on mapped batches.

Both functions of this module wrap `run(static, shared, batched)`, which computes each
row by itself. `static` is hashable, and `shared` is a tuple of arrays. `batched` is a
dict of arrays (or None) with a leading batch axis and contains `"x"`. Every result of
`run` has a leading batch axis.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

Run = Callable[..., Any]


def shard_rows(run: Run, *, num_shared: int) -> Run:
    """Makes each device, under `jit`, run the rows that it holds.

    XLA cannot see into a kernel. By itself it would gather a sharded batch before the
    kernel and run all rows on every device.

    Args:
      run: the function to wrap.
      num_shared: the length of the tuple `shared`.
    """

    @functools.partial(custom_partitioning, static_argnums=(0,))
    def sharded(static, shared, batched):
        return run(static, shared, batched)

    def partition(static, mesh, arguments, results):
        shared, batched = arguments
        everywhere = NamedSharding(mesh, PartitionSpec())
        rows = NamedSharding(mesh, PartitionSpec(*batched["x"].sharding.spec[:1]))
        arguments = (
            jax.tree.map(lambda _: everywhere, shared),
            jax.tree.map(lambda _: rows, batched),
        )
        results = jax.tree.map(lambda _: rows, results)
        return mesh, functools.partial(run, static), results, arguments

    def rule(static, mesh, operands, results):
        """Names the axes of all arrays. Only the axis of rows is common to them."""
        del static, mesh
        number = 0
        named = []
        for i, value in enumerate((*operands, *results)):
            axes = [] if i < num_shared else ["rows"]
            while len(axes) < len(value.shape):
                axes.append(f"axis{number}")
                number += 1
            named.append(" ".join(axes))
        left, right = named[: len(operands)], named[len(operands) :]
        return f"{', '.join(left)} -> {', '.join(right)}"

    sharded.def_partition(partition=partition, sharding_rule=rule)
    return sharded


def map_rows(run: Run) -> Run:
    """Makes the axis of a `vmap` a part of the batch.

    If `shared` is mapped too, `run` is called in a loop over the mapped axis.
    """

    @functools.cache
    def of(static):
        @jax.custom_batching.custom_vmap
        def call(shared, batched):
            return run(static, shared, batched)

        @call.def_vmap
        def mapped(size, is_mapped, shared, batched):
            def stack(v, is_stacked):
                return v if is_stacked else jnp.broadcast_to(v, (size, *v.shape))

            batched = jax.tree.map(stack, batched, is_mapped[1])
            if any(is_mapped[0]):
                shared = tuple(map(stack, shared, is_mapped[0]))
                results = lax.map(lambda arguments: call(*arguments), (shared, batched))
            else:
                rows = jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), batched)
                results = jax.tree.map(
                    lambda v: v.reshape(size, -1, *v.shape[1:]), call(shared, rows)
                )
            return results, jax.tree.map(lambda _: True, results)

        return call

    return lambda static, shared, batched: of(static)(shared, batched)
