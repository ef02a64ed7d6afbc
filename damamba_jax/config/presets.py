"""Presets of configuration files."""

from collections.abc import Iterable
from pathlib import Path

from damamba_jax.errors import ConfigError, nearest


def check_preset(file: str, preset: str, known: Iterable[str]) -> None:
    """Checks that a configuration file has a preset.

    Args:
      file: the configuration's `__file__`.
      preset: the preset that was asked for.
      known: all presets of the file.

    Raises:
      ConfigError: if it has none of this name; the message names the nearest.
    """
    if preset not in known:
        raise ConfigError(
            f"`--config=configs/{Path(file).name}:{preset}`: unknown preset"
            f"{nearest(preset, known)}"
        )
