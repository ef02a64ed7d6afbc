"""All parameters of a model as two vectors.

An optimizer does the same to each parameter. For the hundreds of arrays of a model,
those would be thousands of small operations. They would take nearly half of the time
that a step needs to compile, and a third of its kernels on a GPU.
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

# Elements of float32. Every array starts at a multiple of 256 bytes, as an array with
# memory of its own does. XLA hands a slice to a kernel as an address, and cuBLAS and
# Mosaic refuse many addresses that are not such multiples.
ALIGNMENT = 64


class Layout(NamedTuple):
    """Places of a tree's arrays in the two vectors.

    Attributes:
      structure: the structure of the tree, a `PyTreeDef`.
      shapes: the shapes of the tree's leaves, in order.
      projections: for each leaf, in order, whether it lies in the first vector.
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
      projections: the kernels of projections, [P], one after the other. Each is filled
        up with zeros to a multiple of `ALIGNMENT`. The gradient of these zeros is zero.
      others: A, D, norms, biases, embeddings and the taps of depthwise convolutions,
        [Q], in the same form. They are scales or time constants, which decay would not
        regularise.
      layout: the layout of the tree that the parameters came from.
    """

    projections: Any
    others: Any
    layout: Layout

    @classmethod
    def from_tree(cls, tree: Any) -> "FlatParams":
        """Joins the leaves of a tree. It uses NumPy if all of them are NumPy arrays."""
        with_paths, structure = jax.tree_util.tree_flatten_with_path(tree)
        leaves = [leaf for _, leaf in with_paths]
        flags = tuple(_is_projection(path) for path, _ in with_paths)
        layout = Layout(structure, tuple(leaf.shape for leaf in leaves), flags)
        projections, others = _sort(leaves, flags)
        return cls(_join(projections), _join(others), layout)

    def to_tree(self) -> Any:
        """Cuts the vectors into the leaves again. Leaves of NumPy vectors are views."""
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
    # The gradient of a split is one concatenation. The gradient of slices would be a
    # sum of padded vectors.
    split = np.split if isinstance(vector, np.ndarray) else jnp.split
    sizes = [math.prod(shape) for shape in shapes]
    ends = itertools.accumulate(n for size in sizes for n in (size, -size % ALIGNMENT))
    leaves = split(vector, list(ends))[:-1:2]
    return [leaf.reshape(shape) for leaf, shape in zip(leaves, shapes, strict=True)]
