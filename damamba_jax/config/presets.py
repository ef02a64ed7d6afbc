"""A check of the presets of configuration files."""

from collections.abc import Iterable
from pathlib import Path

from damamba_jax.errors import ConfigError, nearest


def check_preset(file: str, preset: str, known: Iterable[str]) -> None:
    """Checks that a configuration file has a preset.

    Args:
      file: `__file__` of the configuration file.
      preset: name of the preset that was asked for.
      known: names of all presets of the file.

    Raises:
      ConfigError: if the file has no preset of this name; the message names the most
        similar one.
    """
    if preset not in known:
        raise ConfigError(
            f"`--config=configs/{Path(file).name}:{preset}`: unknown preset"
            f"{nearest(preset, known)}"
        )
