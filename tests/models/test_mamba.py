import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example import small_config
from flax import nnx

from damamba_jax.errors import ConfigError
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS
from damamba_jax.models.blocks import Stack
from damamba_jax.models.functional import place
from damamba_jax.models.layers import DepthwiseConv
from damamba_jax.models.mamba import Mamba
from damamba_jax.models.mamba2 import Mamba2

# Several heads and chunks, the last one not full.
HEADS = {"ssm": "mamba2", "head_dim": 4, "ssd_chunk": 5}


def layer2(**model):
    config = small_config(**{**HEADS, **model}).model
    return place(Mamba2(config, 8, dtype=jnp.float32, rng=np.random.default_rng(0)))


def noise(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def test_convolution_equals_numpy_and_looks_back_only():
    conv = DepthwiseConv(3, 4, reverse=False, rng=np.random.default_rng(0))
    x = noise(1, 9, 3)
    bias = np.asarray(conv.bias[...])
    np.testing.assert_array_equal(bias, 1.0)
    for channel in range(3):
        taps = np.asarray(conv.kernel[...])[::-1, channel]
        expected = np.convolve(np.asarray(x)[0, :, channel], taps)[:9] + bias[channel]
        np.testing.assert_allclose(conv(x)[0, :, channel], expected, atol=1e-5)


def test_reversed_convolution_is_the_flipped_one():
    forward = DepthwiseConv(3, 4, reverse=False, rng=np.random.default_rng(0))
    backward = DepthwiseConv(3, 4, reverse=True, rng=np.random.default_rng(0))
    x = noise(2, 9, 3)
    np.testing.assert_allclose(backward(x), forward(x[:, ::-1])[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("mamba", [Mamba, Mamba2])
def test_forward_mamba_is_causal_and_bidirectional_is_not(mamba):
    x = noise(1, 12, 8)
    moved = x.at[:, 6].add(1.0)
    for direction, before in (("forward", False), ("bidirectional", True)):
        config = small_config(direction=direction, **HEADS).model
        layer = mamba(config, 8, dtype=jnp.float32, rng=np.random.default_rng(0))
        layer = jax.jit(place(layer))
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


def test_mamba2_is_its_formula_one_step_at_a_time():
    layer = layer2(direction="forward")
    u = np.asarray(noise(1, 12, 8), np.float64)[0]

    def array(param):
        return np.asarray(param[...], np.float64)

    def silu(v):
        return v / (1 + np.exp(-v))

    one = layer.forward
    x, z = np.split(u @ array(layer.in_proj.kernel), 2, axis=-1)
    bc_dt = u @ array(one.proj.kernel)
    mixed = np.concatenate([x, bc_dt[:, :8]], axis=-1)
    padded = np.concatenate([np.zeros((3, 24)), mixed])
    taps = array(one.conv.kernel)
    mixed = silu(
        sum(taps[i] * padded[i : i + 12] for i in range(4)) + array(one.conv.bias)
    )
    x, b, c = np.split(mixed, [16, 20], axis=-1)
    step = np.log1p(np.exp(bc_dt[:, 8:] + array(one.dt_bias)))
    a, h, y = -np.exp(array(one.a_log)), np.zeros((4, 4, 4)), np.zeros((12, 4, 4))
    for t in range(12):
        heads = x[t].reshape(4, 4)
        drive = step[t][:, None, None] * heads[..., None] * b[t]
        h = np.exp(step[t] * a)[:, None, None] * h + drive
        y[t] = h @ c[t] + array(one.d)[:, None] * heads
    gated = y.reshape(12, 16) * silu(z)
    power = np.mean(gated**2, axis=-1, keepdims=True)
    expected = gated / np.sqrt(power + 1e-6) @ array(layer.out_proj.kernel)
    np.testing.assert_allclose(layer(jnp.float32(u)[None])[0], expected, atol=1e-5)


def test_both_directions_of_mamba2_share_all_but_their_scans():
    both, one = layer2(direction="bidirectional"), layer2(direction="forward")
    count = [sum(p.size for p in jax.tree.leaves(nnx.split(m, nnx.Param)[1]))
             for m in (both, one)]  # fmt: skip
    scan = sum(p.size for p in jax.tree.leaves(nnx.split(one.forward, nnx.Param)[1]))
    assert count[0] == count[1] + scan
    # The reverse scan is the forward one of the flipped sequence.
    both.backward.proj, both.backward.conv.kernel = (
        one.forward.proj,
        one.forward.conv.kernel,
    )
    for name in ("a_log", "dt_bias", "d"):
        setattr(both.backward, name, getattr(one.forward, name))
    u, x = noise(1, 12, 8), noise(1, 12, 16)
    np.testing.assert_allclose(
        both.backward(u, x), one.forward(u[:, ::-1], x[:, ::-1])[:, ::-1], atol=1e-5
    )


def test_mamba2_starts_like_mamba_and_names_its_scans():
    layer = layer2()
    dt = jax.nn.softplus(layer.forward.dt_bias[...])
    assert dt.shape == (4,) and 1e-3 <= float(dt.min()) and float(dt.max()) <= 1e-1
    a = np.exp(layer.forward.a_log[...])
    assert (a >= 1).all() and (a <= 16).all() and np.ptp(a) > 0
    with pytest.raises(ConfigError, match="expected one of reference, chunked, or"):
        layer2(scan="associative")
    with pytest.raises(ConfigError, match="`model.head_dim`: expected a divisor of"):
        layer2(head_dim=5)


def test_remat_changes_no_number_of_mamba2():
    x, found = noise(2, 16, 8), []
    for remat in (False, True):
        config = small_config(direction="forward", remat=remat, **HEADS).model
        stack = Stack(config, 8, 1, dtype=jnp.float32, rng=np.random.default_rng(0))
        graphdef, params = nnx.split(stack, nnx.Param)

        def loss(params, graphdef=graphdef):
            return jnp.sum(jnp.square(nnx.merge(graphdef, params)(x)))

        found.append(jax.jit(jax.value_and_grad(loss))(params))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        assert jnp.any(a != 0)


def test_finding_a_scans_arguments_again_changes_no_number(monkeypatch):
    """As the GPU kernels do it in a wide stack; here by a scan that names nothing."""
    named = IMPLEMENTATIONS["chunked"]._replace(kept="states")
    config = small_config(remat=True, scan="chunked").model
    x, found, policies = noise(2, 16, 2 * config.dim), [], []
    checkpoint = jax.checkpoint

    def spy(function, *, policy=None, **options):
        policies.append(policy)
        return checkpoint(function, policy=policy, **options)

    monkeypatch.setattr(jax, "checkpoint", spy)
    layer = Mamba(
        config, 2 * config.dim, dtype=jnp.float32, rng=np.random.default_rng(0)
    )
    graphdef, params = nnx.split(layer, nnx.Param)

    def loss(params):
        return jnp.sum(jnp.square(nnx.merge(graphdef, params)(x)))

    for implementation, wrapped in ((IMPLEMENTATIONS["chunked"], 0), (named, 2)):
        monkeypatch.setitem(IMPLEMENTATIONS, "chunked", implementation)
        policies.clear()
        found.append(jax.jit(jax.value_and_grad(loss))(params))
        # The scan of each direction.
        assert sum(policy is not None for policy in policies) == wrapped
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        assert jnp.any(a != 0)
