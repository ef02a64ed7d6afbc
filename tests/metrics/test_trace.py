"""Annotations in their own range, and as models see them."""

import numpy as np
import pytest

from damamba_jax.metrics.trace import from_unit, to_unit


@pytest.mark.parametrize("label_range", [(0.0, 1.0), (1.0, 5.0), (-1.0, 1.0)])
def test_the_two_ways_between_ranges_are_each_others_reverse(label_range):
    low, high = label_range
    values = np.array([low, (low + high) / 2, high, np.nan])
    unit = to_unit(values, label_range)
    np.testing.assert_allclose(unit, [0.0, 0.5, 1.0, np.nan])
    np.testing.assert_allclose(from_unit(unit, label_range), values)
