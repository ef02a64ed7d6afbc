"""Sharded and mapped batches, with plain array code in the place of a kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from damamba_jax.kernels.selective_scan.mosaic_gpu.batch import map_rows, shard_rows


def run(static, shared, batched):
    """Sums rows so that a wrong row, or a wrong share of them, changes the result."""
    y = batched["x"] @ shared[0] + static
    h = None if batched["h"] is None else batched["h"] + jnp.sum(y, axis=1)
    return {"y": y, "h": h, "rows": jnp.full((y.shape[0],), y.shape[0])}


def draw(rows, *, with_h=True):
    rng = np.random.default_rng(0)
    x, a, h = (rng.normal(size=s) for s in ((rows, 3, 4), (4, 5), (rows, 5)))
    return (jnp.float32(a),), {
        "x": jnp.float32(x),
        "h": jnp.float32(h) if with_h else None,
    }


@pytest.mark.parametrize("with_h", [True, False])
def test_each_device_runs_its_rows(with_h):
    if jax.device_count() < 4:
        pytest.skip("needs 4 devices; tests/conftest.py asks for 4 virtual ones")
    shared, batched = draw(8, with_h=with_h)
    want = run(2.0, shared, batched)
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    batched = jax.device_put(batched, rows)
    shared = jax.device_put(shared, NamedSharding(mesh, PartitionSpec()))
    sharded = jax.jit(shard_rows(run, num_shared=1), static_argnums=0)
    compiled = sharded.lower(2.0, shared, batched).compile()
    got = compiled(shared, batched)
    np.testing.assert_allclose(got["y"], want["y"], rtol=1e-5)
    assert got["y"].sharding.is_equivalent_to(rows, 3)
    if with_h:
        np.testing.assert_allclose(got["h"], want["h"], rtol=1e-5)
    np.testing.assert_array_equal(got["rows"], 2)
    assert "all-gather" not in compiled.as_text()


@pytest.mark.parametrize("with_h", [True, False])
def test_mapped_rows_join_the_batch(with_h):
    shared, batched = draw(6, with_h=with_h)
    pairs = jax.tree.map(lambda v: v.reshape(3, 2, *v.shape[1:]), batched)
    mapped = jax.vmap(lambda batched: map_rows(run)(2.0, shared, batched))(pairs)
    want = run(2.0, shared, batched)
    np.testing.assert_allclose(mapped["y"].reshape(6, 3, 5), want["y"], rtol=1e-5)
    np.testing.assert_array_equal(mapped["rows"], 6)


def test_mapped_weights_are_a_loop():
    shared, batched = draw(2)
    weights = (jnp.stack([shared[0], -shared[0]]),)
    mapped = jax.vmap(lambda a: map_rows(run)(2.0, a, batched))(weights)
    for i, a in enumerate(weights[0]):
        np.testing.assert_allclose(
            mapped["y"][i], run(2.0, (a,), batched)["y"], rtol=1e-6
        )
    np.testing.assert_array_equal(mapped["rows"], 2)
