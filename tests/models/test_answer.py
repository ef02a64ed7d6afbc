"""From the columns of the last layer to a score or to classes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example import TINY

from damamba_jax.models.answer import Answer

DATA = TINY.data


def answer(names=(), *, ordered=False):
    return Answer(dataclasses.replace(DATA, classes=names, classes_ordered=ordered))


def test_a_score_is_the_sigmoid_of_one_column():
    logits = jnp.linspace(-3, 3, 6).reshape(2, 3, 1)
    made = answer()
    assert made.width == 1
    np.testing.assert_array_equal(made(logits), jax.nn.sigmoid(logits[..., 0]))


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("names", ["ab", "abc", "abcdef"])
def test_classes_are_a_distribution(names, ordered):
    made = answer(tuple(names), ordered=ordered)
    logits = 5 * jax.random.normal(jax.random.key(0), (4, 7, made.width))
    found = made(logits)
    assert found.shape == (4, 7, len(names))
    np.testing.assert_allclose(jnp.exp(found).sum(axis=-1), 1.0, rtol=1e-5)


def test_ordered_classes_are_the_differences_of_sigmoids():
    made = answer(tuple("abcd"), ordered=True)
    assert made.width == 1
    # Without a score all classes are equally likely.
    np.testing.assert_allclose(jnp.exp(made(jnp.zeros(1))), np.full(4, 0.25), rtol=1e-5)
    score = np.float64(1.3)
    cuts = np.log([1 / 3, 1.0, 3.0])
    below = np.concatenate([[0.0], 1 / (1 + np.exp(score - cuts)), [1.0]])
    found = made(jnp.full(1, score, jnp.float32))
    np.testing.assert_allclose(found, np.log(np.diff(below)), rtol=1e-5)


def test_ordered_classes_learn_from_however_far():
    made = answer(tuple("abc"), ordered=True)
    for score in (-300.0, 300.0):
        value, slope = jax.value_and_grad(lambda s: made(s[None])[1])(
            jnp.float32(score)
        )
        assert np.isfinite(value) and slope == pytest.approx(-np.sign(score))
