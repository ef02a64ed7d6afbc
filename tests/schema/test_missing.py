"""The rule for missing samples, by NumPy and by JAX."""

import jax.numpy as jnp
import numpy as np
import pytest

from damamba_jax.schema.missing import MAX_ABS, usable_entries, usable_frames

ROWS = np.float32(
    [
        [1, 2, 3, 4],
        [np.nan, 2, 3, 4],
        [np.nan, np.inf, 3, 4],
        [np.nan, np.inf, 2 * MAX_ABS, 4],
        [-1, -1, -1, 4],
        [0, 0, 0, 4],
        [0, 0, 0, 0],
    ]
).repeat(2, axis=1)


@pytest.mark.parametrize(
    ("missing_value", "frames"),
    [
        (None, [True, True, True, False, True, True, False]),
        (-1.0, [True, True, True, False, False, True, False]),
    ],
)
def test_half_of_the_kept_columns_make_a_frame(missing_value, frames):
    found = []
    for xp in (np, jnp):
        x, kept = xp.asarray(ROWS), xp.ones((1, 8), bool)
        with np.errstate(invalid="ignore"):
            usable = usable_entries(x, missing_value)
        assert list(np.asarray(usable_frames(x, usable, kept))) == frames
        found.append(np.asarray(usable))
    np.testing.assert_array_equal(*found)
    assert not found[0][2, :4].any() and found[0][4, 6]


def test_dropped_columns_do_not_count():
    kept = np.array([True, True, True, False]).repeat(2)
    usable = usable_entries(ROWS[5:], None)
    assert not usable_frames(ROWS[5:], usable, kept).any()


@pytest.mark.parametrize("columns", [1, 7])
def test_a_row_of_zeros_says_something_in_a_narrow_stream(columns):
    """Voice activity, buttons, one-hot classes: 0 is half of what they say."""
    for xp in (np, jnp):
        x = xp.zeros((3, columns), np.float32)
        usable = usable_entries(x, None)
        assert usable_frames(x, usable, xp.ones((1, columns), bool)).all()
        # Where 0 means missing, the configuration says so.
        usable = usable_entries(x, 0.0)
        assert not usable_frames(x, usable, xp.ones((1, columns), bool)).any()


def test_numpy_and_jax_agree_on_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    for value in (np.nan, np.inf, -1.0, 0.0, 3.7e19):
        x[rng.random(x.shape) < 0.2] = value
    kept = np.array([True, False, True, True, True])
    with np.errstate(invalid="ignore"):
        usable = usable_entries(x, -1.0)
    other = usable_entries(jnp.asarray(x), -1.0)
    np.testing.assert_array_equal(usable, other)
    np.testing.assert_array_equal(
        usable_frames(x, usable, kept),
        usable_frames(jnp.asarray(x), other, jnp.asarray(kept)[None]),
    )
