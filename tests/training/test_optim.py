"""Learning rate, weight decay and the moving average."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from example import PAPER

from damamba_jax.models.flat_params import FlatParams
from damamba_jax.training import optim


def test_learning_rate_warms_up_then_follows_half_a_cosine():
    config = dataclasses.replace(
        PAPER.optim, lr=2e-3, warmup_steps=10, final_lr_fraction=0.1
    )
    rate = optim.learning_rate(config, 110)
    expected = {
        0: 0.0,
        1: 2e-4,
        5: 1e-3,
        10: 2e-3,
        60: 2e-3 * (0.1 + 0.9 * 0.5),
        85: 2e-3 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * 0.75))),
        110: 2e-4,
    }
    for step, value in expected.items():
        assert float(rate(step)) == pytest.approx(value, rel=1e-5), step


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_a_run_shorter_than_the_warm_up_has_a_schedule(steps):
    rate = optim.learning_rate(
        dataclasses.replace(PAPER.optim, lr=1e-3, warmup_steps=500), steps
    )
    values = [float(rate(step)) for step in range(steps + 1)]
    assert np.isfinite(values).all()
    assert max(values) == pytest.approx(1e-3)


@pytest.fixture
def loose():
    """Optax's bias correction mixes integers and floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


PARAMS = FlatParams.from_tree(
    {"out": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((2,))}}
)


def test_weight_decay_shrinks_by_lr_times_decay(loose):
    config = dataclasses.replace(PAPER.optim, lr=0.1, warmup_steps=0, weight_decay=0.5)
    optimizer = optim.optimizer(config, 100)
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = optimizer.update(zero, optimizer.init(PARAMS), PARAMS)
    new = optax.apply_updates(PARAMS, updates).to_tree()["out"]
    np.testing.assert_allclose(new["kernel"], 1.0 - 0.1 * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(new["bias"], 1.0)


@pytest.mark.parametrize(("norm", "expected"), [(1e6, 5.0), (3.0, 3.0)])
def test_gradients_are_clipped_by_their_global_norm(loose, norm, expected):
    optimizer = optim.optimizer(
        dataclasses.replace(PAPER.optim, clip_norm=5.0, b1=0.75), 100
    )
    gradient = jax.tree.map(lambda x: x * norm / np.sqrt(6.0), PARAMS)
    _, state = optimizer.update(gradient, optimizer.init(PARAMS), PARAMS)
    first_moment = optax.tree.get(state, "mu")
    got = optax.tree.norm(first_moment)
    assert float(got) == pytest.approx(0.25 * expected, rel=1e-5)


def test_the_average_starts_fast_and_ends_at_its_decay():
    zero, one = {"a": jnp.zeros((3,))}, {"a": jnp.ones((3,))}
    for step, decay in ((0, 0.1), (1, 2 / 11), (90, 0.91), (10_000, 0.999)):
        got = optim.update_average(zero, one, 0.999, jnp.int32(step))
        np.testing.assert_allclose(got["a"], 1.0 - decay, rtol=2e-5)
