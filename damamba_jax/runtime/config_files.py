"""Configuration files: where they are found, and how one is loaded."""

import types
from collections.abc import Sequence
from importlib import resources
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from damamba_jax.config.tree import check_field
from damamba_jax.errors import ConfigError, UsageError, UserError, nearest


def find_config(value: str) -> str:
    """Lets `configs/NAME.py:PRESET` work in any folder.

    A file of that path in the working folder comes first; else the packaged
    configuration of that name is taken.

    Args:
      value: `FILE` or `FILE:PRESET`, as `--config` takes it.

    Returns:
      The same with the path of the file that was found.
    """
    path, colon, preset = value.partition(":")
    packaged = packaged_configs() / Path(path).name
    if Path(path).exists() or Path(path).parent.name not in ("configs", ""):
        return value
    return f"{packaged}{colon}{preset}" if packaged.is_file() else value


def packaged_configs() -> Path:
    """Folder of the configurations that come with the package."""
    return Path(str(resources.files("damamba_jax.configs")))


def load_config(path: str) -> ConfigDict:
    """Runs `get_config` of a configuration file; `FILE.py:preset` passes the preset.

    Raises:
      ConfigError: if there is no such file or no such preset, or if the file does not
        run.
    """
    path, colon, preset = path.partition(":")
    if not Path(path).is_file():
        packaged = sorted(
            f"configs/{file.name}" for file in packaged_configs().glob("[!_]*.py")
        )
        raise ConfigError(
            f"`--config`: expected a file, got {path!r}{nearest(path, packaged)}"
        )
    try:
        loader = SourceFileLoader("config_file", path)
        module = types.ModuleType(loader.name)
        module.__file__ = path
        loader.exec_module(module)
        if not callable(getattr(module, "get_config", None)):
            raise ConfigError(
                f"`--config`: {path}: expected a function `get_config` that returns a "
                "configuration, got none. See configs/README.md."
            )
        config = module.get_config(*[preset] * bool(colon))
    except UserError:
        raise
    except Exception as error:  # whatever the user's own code leads to
        raise ConfigError(_explain(error, path, preset)) from error
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"`--config`: {path}: expected a `ConfigDict` from `get_config`, got "
            f"{type(config).__name__}; does it end with `return config`?"
        )
    return config


def read_config(file: str, fields: Sequence[tuple[str, str | None]]) -> ConfigDict:
    """Loads a configuration and sets fields of it.

    Args:
      file: as `find_config` takes it.
      fields: path and text of each field, e.g. `("optim.lr", "1e-3")`; `None` switches
        a field on.

    Raises:
      ConfigError: as `load_config` does.
      UsageError: for an unknown field, or a text that its type cannot be read from.
    """
    config = load_config(find_config(file))
    for path, text in fields:
        _set_field(config, path, text)
    return config


def _set_field(config: ConfigDict, path: str, text: str | None) -> None:
    try:
        check_field(config, path)
    except ConfigError as error:
        raise UsageError(str(error).replace("`config.", "`--config.", 1)) from error
    *groups, name = path.split(".")
    group = config
    for part in groups:
        group = group[part]
    before = group[name]
    values = flags.FlagValues()
    line = ["", f"--config.{path}" if text is None else f"--config.{path}={text}"]
    if text is None and not isinstance(before, bool):
        raise UsageError(
            f"`--config.{path}`: expected a value, got nothing; write "
            f"--config.{path}=VALUE."
        )
    try:
        config_flags.DEFINE_config_dict(
            "config", config, "Fields.", flag_values=values, sys_argv=line
        )
        values(line)
    except (flags.Error, ValueError, TypeError, SyntaxError) as error:
        kind = "a group of fields" if isinstance(before, ConfigDict) else _kind(before)
        raise UsageError(
            f"`--config.{path}`: expected {kind}, got {text!r}; the configuration has "
            f"{_short(before)}."
        ) from error


def _kind(value: Any) -> str:
    """Names the type of a value in ordinary words."""
    names = {
        bool: "true or false", int: "a whole number", float: "a number",
        tuple: "values with commas between", str: "text",
    }  # fmt: skip
    return names.get(type(value), f"a value like {value!r}")


def _short(value: Any) -> str:
    if isinstance(value, ConfigDict):
        return f"the fields {', '.join(sorted(value))} there"
    return f"{value!r} there"


def _explain(error: Exception, path: str, preset: str) -> str:
    """Says in which line of a configuration file an error arose, and which."""
    line = 0
    if isinstance(error, SyntaxError):
        line, text = error.lineno or 0, f"SyntaxError: {error.msg}"
    else:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == path:
                line = trace.tb_lineno
            trace = trace.tb_next
        text = f"{type(error).__name__}: {error}"
    where = f"{path}, line {line}" if line else path
    if isinstance(error, TypeError) and preset and "positional argument" in text:
        return (
            f"`--config`: {path}: expected a file whose `get_config` takes a preset, "
            f"got the preset {preset!r} for one that takes none. Leave :{preset} away."
        )
    return (
        f"`--config`: {where}: expected Python that runs, got {text}. Mend that line."
    )
