"""Digests of checkpoints; they show damage that Orbax does not notice."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def digest(trees: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, str]:
    """Hashes each item of a checkpoint.

    Args:
      trees: trees of arrays by item; paths, types, shapes and bytes are hashed.
      meta: values of the item `meta`, which are hashed as JSON.
    """
    text = json.dumps(meta, sort_keys=True)
    result = {"meta": hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}
    for name, tree in trees.items():
        hashed = hashlib.blake2b(digest_size=16)
        for path, leaf in sorted(leaves_by_path(tree).items()):
            value = np.ascontiguousarray(leaf)
            hashed.update(f"{path} {value.dtype} {value.shape};".encode())
            hashed.update(value.reshape(-1).view(np.uint8).data)
        result[name] = hashed.hexdigest()
    return result


def leaves_by_path(tree: Any) -> dict[str, Any]:
    """Lists the leaves of a tree by path, e.g. `model.average.head_out.kernel`."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        ".".join(str(getattr(entry, "key", entry)) for entry in path): leaf
        for path, leaf in flat
    }
