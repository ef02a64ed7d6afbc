import jax
import jax.numpy as jnp
import numpy as np
from example import small_config

from damamba_jax.models.mamba import DepthwiseConv, Mamba


def noise(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def test_convolution_equals_numpy_and_looks_back_only():
    conv = DepthwiseConv(3, 4, reverse=False, rng=np.random.default_rng(0))
    x = noise(1, 9, 3)
    for channel in range(3):
        taps = np.asarray(conv.kernel[...])[::-1, channel]
        expected = np.convolve(np.asarray(x)[0, :, channel], taps)[:9]
        np.testing.assert_allclose(conv(x)[0, :, channel], expected, atol=1e-5)


def test_reversed_convolution_is_the_flipped_one():
    forward = DepthwiseConv(3, 4, reverse=False, rng=np.random.default_rng(0))
    backward = DepthwiseConv(3, 4, reverse=True, rng=np.random.default_rng(0))
    x = noise(2, 9, 3)
    np.testing.assert_allclose(backward(x), forward(x[:, ::-1])[:, ::-1], atol=1e-6)


def test_forward_mamba_is_causal_and_bidirectional_is_not():
    x = noise(1, 12, 8)
    moved = x.at[:, 6].add(1.0)
    for direction, before in (("forward", False), ("bidirectional", True)):
        config = small_config(direction=direction).model
        layer = Mamba(config, 8, dtype=jnp.float32, rng=np.random.default_rng(0))
        changed = jnp.any(layer(x) != layer(moved), axis=-1)[0]
        assert bool(changed[:6].any()) == before
        assert bool(changed[6:].all())


def test_time_constants_start_between_tens_and_a_thousand_frames():
    layer = Mamba(
        small_config(dim=64, state_dim=16).model,
        64,
        dtype=jnp.float32,
        rng=np.random.default_rng(0),
    )
    dt = jax.nn.softplus(layer.forward.dt_bias[...])
    assert 1e-3 <= float(dt.min()) and float(dt.max()) <= 1e-1
    a = -jnp.exp(layer.forward.a_log[...])
    np.testing.assert_allclose(a, -jnp.tile(jnp.arange(1.0, 17.0)[None], (128, 1)))
