"""Configuration files: where they are found, and how one is loaded."""

import types
from collections.abc import Sequence
from importlib import resources
from importlib.machinery import SourceFileLoader
from pathlib import Path

from ml_collections import ConfigDict

from damamba_jax.errors import ConfigError


def find_config_file(argv: Sequence[str]) -> list[str]:
    """Lets `--config=configs/NAME.py` work in any folder.

    A file of that path in the working folder comes first; else the packaged
    configuration of that name is taken. `--config FILE` becomes `--config=FILE`.
    """
    found: list[str] = []
    for argument in argv:
        if found and found[-1] in ("--config", "-config"):
            found[-1] = argument = f"--config={argument}"
        else:
            found.append(argument)
        flag, _, value = argument.partition("=")
        path, colon, preset = value.partition(":")
        packaged = packaged_configs() / Path(path).name
        if flag in ("--config", "-config") and not Path(path).exists():
            if packaged.is_file() and Path(path).parent.name in ("configs", ""):
                found[-1] = f"{flag}={packaged}{colon}{preset}"
    return found


def packaged_configs() -> Path:
    """Folder of the configurations that come with the package."""
    return Path(str(resources.files("damamba_jax.configs")))


def load_config(path: str) -> ConfigDict:
    """Runs `get_config` of a configuration file; `FILE.py:preset` passes the preset.

    Raises:
      ConfigError: if there is no such file or no such preset.
    """
    path, colon, preset = path.partition(":")
    if not Path(path).is_file():
        packaged = packaged_configs().glob("[!_]*.py")
        raise ConfigError(
            f"`--config`: expected a file, got {path!r}. Packaged ones, for any "
            f"folder: {', '.join(sorted(f'configs/{p.name}' for p in packaged))}."
        )
    loader = SourceFileLoader("config_file", path)
    module = types.ModuleType(loader.name)
    loader.exec_module(module)
    try:
        return module.get_config(*[preset] * bool(colon))
    except ValueError as error:
        raise ConfigError(str(error)) from error
