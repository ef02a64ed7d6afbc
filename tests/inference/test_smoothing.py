"""Smoothing against naive weighted means, with gaps, ends and single frames."""

import math

import numpy as np
import pytest

from damamba_jax.config.smoothing import SmoothingConfig
from damamba_jax.inference.smoothing import smooth

RATE = 25.0


def config(kind, seconds):
    return SmoothingConfig(kind=kind, seconds=seconds)


def naive(values, kind, seconds):
    """The mean of all present frames, weighted by their distance in time."""
    found = np.full(len(values), np.nan)
    for t in np.flatnonzero(np.isfinite(values)):
        total = weight = 0.0
        for j in np.flatnonzero(np.isfinite(values)):
            age = (t - j) / RATE
            if kind == "exponential":
                w = math.exp(-age / seconds) if age >= 0 else 0.0
            else:
                w = math.exp(-0.5 * (age / seconds) ** 2)
            total, weight = total + w * values[j], weight + w
        found[t] = total / weight
    return found


@pytest.mark.parametrize("kind", ["exponential", "gaussian"])
@pytest.mark.parametrize(("length", "seconds"), [(1, 0.5), (40, 0.2), (120, 3.0)])
def test_smoothing_is_the_weighted_mean_of_frames_that_are_there(kind, length, seconds):
    values = np.random.default_rng(length).uniform(size=length).astype(np.float32)
    values[length // 3 : length // 2] = np.nan
    got = smooth(values, RATE, config(kind, seconds))
    assert got.dtype == np.float32
    # The Gaussian is cut at four deviations.
    np.testing.assert_allclose(got, naive(values, kind, seconds), atol=2e-4)


@pytest.mark.parametrize("kind", ["exponential", "gaussian"])
def test_gaps_stay_gaps_and_a_constant_stays_constant(kind):
    values = np.full(60, 0.7)
    values[[0, 20, 21, 59]] = np.nan
    got = smooth(values, RATE, config(kind, 0.4))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(values))
    np.testing.assert_allclose(got[np.isfinite(values)], 0.7)


def test_exponential_is_causal_and_gaussian_delays_nothing():
    step = np.repeat([0.0, 1.0], 50)
    causal = smooth(step, RATE, config("exponential", 0.5))
    assert not causal[:50].any()
    # After one time constant of the new value, of which 2 s lie before.
    assert 1 - causal[50 + 12] == pytest.approx(math.exp(-13 / 12.5), abs=0.02)
    both = smooth(step, RATE, config("gaussian", 0.5))
    np.testing.assert_allclose(both, 1.0 - both[::-1], atol=1e-12)
    assert both[49] + both[50] == pytest.approx(1.0)


def test_without_smoothing_nothing_is_touched():
    values = np.random.default_rng(0).uniform(size=9)
    assert smooth(values, RATE, config("none", 0.0)) is values
