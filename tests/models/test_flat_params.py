"""Parameters as two vectors: nothing is lost, and decay reaches what it should."""

import jax
import jax.numpy as jnp
import numpy as np
from example import small_config

from damamba_jax.models.flat_params import ALIGNMENT, FlatParams
from damamba_jax.models.functional import abstract_model

TREE = {
    "a": {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.array([6.0, 7.0, 8.0])},
    "conv": {"kernel": np.array([[9.0]]), "bias": np.array([10.0])},
    "scale": np.array(11.0),
}


def test_a_tree_is_joined_and_cut_on_the_host_and_on_a_device():
    flat = FlatParams.from_tree(TREE)
    assert (flat.projections.size, flat.others.size) == (ALIGNMENT, 4 * ALIGNMENT)
    np.testing.assert_array_equal(flat.projections[:6], np.arange(6.0))
    starts = flat.others.reshape(4, ALIGNMENT)[:, :3]
    np.testing.assert_array_equal(
        starts, [[6, 7, 8], [10, 0, 0], [9, 0, 0], [11, 0, 0]]
    )
    back = flat.to_tree()
    assert np.shares_memory(back["a"]["kernel"], flat.projections)
    jax.tree.map(np.testing.assert_array_equal, back, TREE)
    on_device = jax.tree.map(jnp.asarray, TREE)
    back = jax.jit(lambda tree: FlatParams.from_tree(tree).to_tree())(on_device)
    jax.tree.map(np.testing.assert_array_equal, back, on_device)
    assert jax.tree.structure(back) == jax.tree.structure(TREE)


def test_a_tree_without_projections_is_joined_too():
    flat = FlatParams.from_tree({"w": np.ones(2, np.float32)})
    assert (flat.projections.shape, flat.others.shape) == ((0,), (ALIGNMENT,))
    np.testing.assert_array_equal(flat.to_tree()["w"], [1, 1])


def test_arrays_of_whole_lines_get_no_filler():
    flat = FlatParams.from_tree({"w": np.ones(2 * ALIGNMENT), "x": np.ones(ALIGNMENT)})
    np.testing.assert_array_equal(flat.others, np.ones(3 * ALIGNMENT))
    np.testing.assert_array_equal(flat.to_tree()["w"], np.ones(2 * ALIGNMENT))


def test_the_gradient_is_one_of_vectors():
    def loss(flat):
        tree = flat.to_tree()
        return jnp.sum(tree["a"]["kernel"] ** 2) + 3 * jnp.sum(tree["conv"]["bias"])

    flat = FlatParams.from_tree(jax.tree.map(jnp.asarray, TREE))
    gradient = jax.grad(loss)(flat)
    np.testing.assert_array_equal(gradient.projections[:6], 2 * np.arange(6.0))
    np.testing.assert_array_equal(np.flatnonzero(gradient.others), [ALIGNMENT])
    assert gradient.others[ALIGNMENT] == 3
    jaxpr = str(jax.make_jaxpr(jax.grad(loss))(flat))
    # A pad for each array would cost a vector each.
    assert "concatenate" in jaxpr and "pad" not in jaxpr


def test_projections_are_the_kernels_with_an_input_axis():
    config = small_config()
    _, params = abstract_model(config.model, config.data)
    flat = jax.eval_shape(FlatParams.from_tree, params)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    total = 0
    for (path, leaf), projection in zip(leaves, flat.layout.projections, strict=True):
        *parents, name = jax.tree_util.keystr(path, simple=True, separator=".").split(
            "."
        )
        assert projection == (name == "kernel" and parents[-1] != "conv"), path
        # Scales, time constants and biases have one axis per channel, no input axis.
        assert not projection or leaf.ndim == 2, path
        total += (leaf.size + -leaf.size % ALIGNMENT) * projection
    assert flat.projections.shape == (total,)
    assert 10 < sum(flat.layout.projections) < len(leaves)
