"""The duration that a run tells once it has measured some steps."""

import pytest

from damamba_jax.training.loop import describe_duration


@pytest.mark.parametrize(
    ("measured", "left", "speed", "expected"),
    [
        (9, 91, 0.5, ""),
        (10, 90, 0.5, "expected: 0:00:45 for 90 more steps at 2.00 a second"),
        (1, 99, 3.0, ""),
        (2, 98, 3.0, "expected: 0:04:54 for 98 more steps at 0.33 a second"),
        (1, 1999, 60.0, "expected: 1 day, 9:19:00 for 1,999 more steps at 0.02 a"),
        (10, 90, 0.0, ""),
    ],
)
def test_it_is_told_as_soon_as_it_is_known(measured, left, speed, expected):
    found = describe_duration(measured, left, speed)
    assert found.startswith(expected) and bool(found) == bool(expected)
