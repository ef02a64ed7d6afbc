"""All parameters of a model as two vectors.

An optimizer does the same to each parameter. Over the hundreds of arrays of a model
that would be thousands of small operations: nearly half of a step's compilation, and a
third of its kernels on a GPU.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# In elements of float32: every array starts at a multiple of 256 bytes, as one with
# memory of its own would. XLA hands a slice to a kernel as an address, and cuBLAS and
# Mosaic refuse many others.
ALIGNMENT = 64


class Layout(NamedTuple):
    """Where the arrays of a tree lie.

    Attributes:
      structure: structure of the tree, a `PyTreeDef`.
      shapes: shapes of its leaves, in order.
      projections: whether a leaf lies in the first vector, in order.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    projections: tuple[bool, ...]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("projections", "others"),
    meta_fields=("layout",),
)
@dataclasses.dataclass(frozen=True)
class FlatParams:
    """Parameters in two vectors: those that weight decay shrinks, and the others.

    Attributes:
      projections: kernels of projections, [P], one after the other, each filled up with
        zeros to a multiple of `ALIGNMENT`. The filler's gradient is zero.
      others: A, D, norms, biases, embeddings and the taps of depthwise convolutions,
        [Q], likewise: scales or time constants, which decay would not regularise.
      layout: layout of the tree that they came from.
    """

    projections: Any
    others: Any
    layout: Layout

    @classmethod
    def from_tree(cls, tree: Any) -> "FlatParams":
        """Joins the leaves of a tree: NumPy arrays on the host, any other by jax."""
        with_paths, structure = jax.tree_util.tree_flatten_with_path(tree)
        leaves = [leaf for _, leaf in with_paths]
        flags = tuple(_is_projection(path) for path, _ in with_paths)
        layout = Layout(structure, tuple(leaf.shape for leaf in leaves), flags)
        projections, others = _sort(leaves, flags)
        return cls(_join(projections), _join(others), layout)

    def to_tree(self) -> Any:
        """Cuts the vectors into the leaves again; those of NumPy arrays are views."""
        structure, shapes, flags = self.layout
        vectors = (self.projections, self.others)
        projections, others = map(_cut, vectors, _sort(shapes, flags))
        left, right = iter(projections), iter(others)
        return structure.unflatten(next(left if flag else right) for flag in flags)


def _sort(items: Sequence[Any], flags: Sequence[bool]) -> tuple[list[Any], list[Any]]:
    """Returns the items of projections, and the other items."""
    rest = [not flag for flag in flags]
    return list(itertools.compress(items, flags)), list(itertools.compress(items, rest))


def _is_projection(path: Sequence[Any]) -> bool:
    names = [str(getattr(entry, "key", entry)) for entry in path]
    return names[-1] == "kernel" and names[-2] != "conv"


def _join(leaves: Sequence[Any]) -> Any:
    xp = np if all(isinstance(leaf, np.ndarray) for leaf in leaves) else jnp
    parts = [xp.zeros(0, np.float32)]
    for leaf in leaves:
        parts.append(leaf.reshape(-1))
        if filler := -leaf.size % ALIGNMENT:
            parts.append(xp.zeros(filler, leaf.dtype))
    return xp.concatenate(parts)


def _cut(vector: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    # Not slices: the gradient of a split is one concatenation, that of slices a sum of
    # padded vectors.
    split = np.split if isinstance(vector, np.ndarray) else jnp.split
    sizes = [math.prod(shape) for shape in shapes]
    ends = itertools.accumulate(n for size in sizes for n in (size, -size % ALIGNMENT))
    leaves = split(vector, list(ends))[:-1:2]
    return [leaf.reshape(shape) for leaf, shape in zip(leaves, shapes, strict=True)]
