import jax
import jax.numpy as jnp
import numpy as np
import pytest

from damamba_jax.models.functional import place
from damamba_jax.models.layers import (
    Dropout,
    Linear,
    Norm,
    interpolate,
    session_scale,
    standardize,
)


def test_standardize_scales_clips_and_centres_missing_entries():
    x = jnp.array([[1.0, 4.0, 1e9], [3.0, jnp.nan, -1.0], [99.0, 4.0, 2.0]])
    center, inverse = jnp.array([1.0, 2.0, 0.0]), jnp.array([1.0, 0.5, 1.0])
    z, valid = standardize(x[None], jnp.ones((1, 3), bool), center, inverse, -1.0)
    np.testing.assert_allclose(
        z[0], [[0.0, 1.0, 0.0], [2.0, 0.0, 0.0], [10.0, 1.0, 2.0]]
    )
    # The second frame misses two of its three columns.
    assert valid[0].tolist() == [True, False, True]


def test_dropped_columns_neither_reach_the_model_nor_count_as_present():
    x = jnp.array([[[7.0, jnp.nan, 1.0], [7.0, 0.0, 0.0]]]).repeat(3, axis=-1)
    inverse = jnp.array([0.0, 1.0, 1.0]).repeat(3)
    z, valid = standardize(x, jnp.ones((1, 2), bool), jnp.zeros(9), inverse, None)
    assert z[0, :, 0].tolist() == [0.0, 0.0]
    # Frame 0 has half of its kept columns; in frame 1 all of them are zero.
    assert valid[0].tolist() == [True, False]


@pytest.mark.parametrize(
    ("position", "value", "valid"),
    [
        (-3.0, 10.0, True),  # before the first sample its value holds
        (0.25, 12.5, True),
        (1.0, 20.0, True),
        (1.5, 20.0, True),  # one neighbour is missing: the other is taken
        (2.0, 0.0, False),  # a missing sample
        (2.5, 0.0, False),  # between two missing samples
        (3.5, 50.0, True),
        (9.0, 50.0, True),  # after the last sample
    ],
)
def test_interpolate_rules(position, value, valid):
    values = jnp.array([[10.0], [20.0], [777.0], [777.0], [50.0]])
    mask = jnp.array([True, True, False, False, True])
    out, ok = interpolate(values[None], mask[None], jnp.array([[position]]))
    assert ok[0, 0] == valid
    np.testing.assert_allclose(out[0, 0, 0], value)


def test_projection_and_interpolation_commute():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 9, 5)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    mask = jnp.ones((2, 9), bool)
    positions = jnp.asarray(rng.uniform(-1, 9, size=(2, 33)), jnp.float32)
    first, _ = interpolate(x @ kernel, mask, positions)
    second, _ = interpolate(x, mask, positions)
    np.testing.assert_allclose(first, second @ kernel, atol=1e-5)


def test_norm_gives_unit_power_in_the_input_dtype():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 64)) * 9, jnp.bfloat16)
    y = place(Norm(64))(x)
    assert y.dtype == jnp.bfloat16
    power = jnp.mean(y.astype(jnp.float32) ** 2, axis=-1)
    np.testing.assert_allclose(power, 1.0, rtol=0.02)


def test_dropout_drops_whole_channels_and_keeps_the_mean():
    x = jnp.ones((8, 5, 400))
    y = Dropout(0.25)(x, jax.random.key(0))
    assert jnp.all(y == y[:, :1])
    assert abs(float(y.mean()) - 1.0) < 0.05
    assert Dropout(0.25)(x, None) is x


@pytest.mark.parametrize(("frame_hz", "rate"), [(25.0, 25.0), (100.0, 25.0)])
def test_a_missing_sample_stays_missing_in_spite_of_rounding(frame_hz, rate):
    seconds = np.arange(96, dtype=np.float32) / np.float32(frame_hz)
    positions = jnp.asarray(seconds * np.float32(rate))
    every = round(frame_hz / rate)
    for sample in range(1, 96 // every):
        mask = jnp.arange(98) != sample
        _, ok = interpolate(jnp.ones((1, 98, 1)), mask[None], positions[None])
        assert not ok[0, sample * every], sample


def test_each_sequence_can_have_its_own_centre_and_scale():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 7, 2)), jnp.float32)
    center = jnp.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    inverse = jnp.array([[1.0, 2.0], [0.5, 0.0], [1.0, 1.0]])
    mask = jnp.ones((3, 7), bool)
    z, valid = standardize(x, mask, center, inverse, None)
    for row in range(3):
        expected = standardize(x[row], mask[row], center[row], inverse[row], None)
        np.testing.assert_array_equal(z[row], expected[0])
        np.testing.assert_array_equal(valid[row], expected[1])


def test_a_session_puts_its_statistics_on_top_of_the_training_splits():
    nan = jnp.nan
    session = jnp.array([
        [[5.0, 6.0, 7.0, nan, 9.0], [2.0, 0.01, 0.0, nan, 3.0]],
        [[nan] * 5, [nan] * 5],
    ])  # fmt: skip
    center = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0])
    inverse = jnp.array([1.0, 1.0, 0.5, 0.25, 0.0])
    got_center, got_inverse = session_scale(session, center, inverse)
    # Its own spread; a tenth of the training split's, twice; unknown; dropped.
    np.testing.assert_allclose(got_inverse[0], [0.5, 10.0, 5.0, 0.25, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(got_center[0], [5.0, 6.0, 7.0, 4.0, 9.0])
    np.testing.assert_array_equal(got_center[1], center)
    np.testing.assert_array_equal(got_inverse[1], inverse)


def test_a_projection_and_its_pieces_are_one_product_with_its_gradients():
    rng = np.random.default_rng(0)
    layer = place(Linear(3, 4, dtype=jnp.float32, rng=rng, bias=True))
    layer.bias[...] = jnp.float32(rng.normal(size=4))
    x, weight = (jnp.float32(rng.normal(size=(2, 5, n))) for n in (3, 4))

    def gradients(apply):
        return jax.value_and_grad(
            lambda x, kernel: jnp.sum(weight * apply(x, kernel)), argnums=(0, 1)
        )(x, layer.kernel[...])

    def by_layer(apply):
        def run(x, kernel):
            copy = place(Linear(3, 4, dtype=jnp.float32, rng=None, bias=True))
            copy.kernel[...], copy.bias[...] = kernel, layer.bias[...]
            return apply(copy, x)

        return run

    want = gradients(lambda x, kernel: x @ kernel + layer.bias[...][None, None])
    whole = gradients(by_layer(lambda layer, x: layer(x)))
    halves = gradients(
        by_layer(lambda layer, x: jnp.concatenate(layer.pieces(x, 2), -1))
    )
    for got in (whole, halves):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert [piece.shape for piece in layer.pieces(x, 2)] == [(2, 5, 2)] * 2
