"""The text of `--smoothing`."""

import pytest

from damamba_jax.config.smoothing import SmoothingConfig, parse_smoothing
from damamba_jax.errors import ConfigError


def test_the_option_is_read_and_nonsense_refused():
    assert parse_smoothing("none") == SmoothingConfig(kind="none", seconds=0.0)
    assert parse_smoothing("gaussian:1.5") == SmoothingConfig(
        kind="gaussian", seconds=1.5
    )
    assert str(parse_smoothing("exponential:2")) == "exponential 2 s"
    for wrong in ("", "mean:2", "gaussian", "gaussian:", "gaussian:-1", "none:1",
                  "gaussian:inf", "gaussian:nan", "exponential:two"):  # fmt: skip
        with pytest.raises(ConfigError, match="`smoothing`: expected 'none'"):
            parse_smoothing(wrong)
