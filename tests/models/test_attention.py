import jax.numpy as jnp
import numpy as np

from damamba_jax.models.attention import ChunkedAttention


def attention(**kwargs):
    fields = {"num_heads": 2, "chunk_frames": 4, "causal": False, "dtype": jnp.float32}
    return ChunkedAttention(8, **{**fields, **kwargs}, rng=np.random.default_rng(0))


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_a_frame_sees_its_own_chunk_only():
    layer, x = attention(), noise(1, 12, 8)
    changed = x.at[:, 5].add(1.0)
    moved = jnp.any(layer(x) != layer(changed), axis=-1)[0]
    assert moved.tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_causal_attention_sees_no_later_frame():
    layer, x = attention(causal=True), noise(1, 8, 8)
    changed = x.at[:, 2].add(1.0)
    moved = jnp.any(layer(x) != layer(changed), axis=-1)[0]
    assert moved.tolist() == [False, False, True, True] + [False] * 4


def test_one_chunk_equals_softmax_attention_written_out():
    layer, x = attention(num_heads=1, chunk_frames=6), noise(1, 6, 8)
    query = x[0] @ layer.query.kernel[...]
    key, value = jnp.split(x[0] @ layer.key_value.kernel[...], 2, axis=-1)
    weights = np.exp(np.asarray(query @ key.T, np.float64) / np.sqrt(8))
    weights /= weights.sum(axis=-1, keepdims=True)
    expected = weights @ np.asarray(value) @ np.asarray(layer.out.kernel[...])
    np.testing.assert_allclose(layer(x)[0], expected, atol=1e-5)


def test_absent_sources_have_no_influence():
    layer, x = attention(null_token=True), noise(2, 8, 8)
    sources = noise(2, 2, 8, 8, seed=1)
    valid = jnp.array([[True, False], [False, False]])
    moved = sources.at[:, 1].add(3.0).at[1].add(5.0)
    np.testing.assert_array_equal(layer(x, sources, valid), layer(x, moved, valid))
    assert jnp.any(layer(x, sources, valid) != layer(x, moved, ~valid))


def test_position_bias_tells_frames_apart():
    layer, x = attention(chunk_frames=8), noise(1, 8, 8)
    plain = layer(x)
    # Frame i looks at frame i + 1 (mod 8) and at nothing else.
    bias = 50.0 * jnp.roll(jnp.eye(8), 1, axis=1)
    layer.position_bias[...] = jnp.stack([bias, bias])
    value = jnp.split(layer.key_value(x), 2, axis=-1)[1]
    expected = layer.out(jnp.roll(value, -1, axis=1))
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)
    assert not np.allclose(plain, expected, atol=1e-2)
