"""Checks that the sections of a configuration share."""

import math
import re
from typing import Any

from damamba_jax.errors import ConfigError


def check_positive(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not 0 < value < math.inf:
            raise ConfigError(
                f"`{field_path(config, name)}`: expected > 0, got {value}."
            )


def check_plain_names(path: str, *names: str) -> None:
    """Checks names that become parts of paths; a configuration may be untrusted."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise ConfigError(
                f"`{path}`: expected names of letters, digits, '_', '-' and '.', got "
                f"{name!r}."
            )


def field_path(config: Any, name: str) -> str:
    """Names a field as its user writes it: `optim.lr`."""
    section = type(config).__name__.removesuffix("Config").lower()
    return f"{section}.{name}" if section else name


def check_not_negative(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not value >= 0:
            raise ConfigError(
                f"`{field_path(config, name)}`: expected >= 0, got {value}."
            )


def check_below_one(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ConfigError(
                f"`{field_path(config, name)}`: expected [0, 1), got {value}."
            )
