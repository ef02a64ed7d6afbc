"""Configuration files: finding them, loading them and setting their fields."""

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
    """Finds the file of a configuration, so that `configs/NAME.py` works in any folder.

    If there is a file with this path, it is taken. Otherwise, the packaged
    configuration of the same name is taken.

    Args:
      value: `FILE` or `FILE:PRESET`, as `--config` takes it.

    Returns:
      `value` with the path of the file that was found; `value` itself if there is none.
    """
    path, colon, preset = value.partition(":")
    packaged = packaged_configs() / Path(path).name
    if Path(path).exists() or Path(path).parent.name not in ("configs", ""):
        return value
    return f"{packaged}{colon}{preset}" if packaged.is_file() else value


def packaged_configs() -> Path:
    """Returns the folder of the configurations that come with the package."""
    return Path(str(resources.files("damamba_jax.configs")))


def load_config(path: str) -> ConfigDict:
    """Loads a configuration: runs `get_config` of its file.

    Args:
      path: path of the file; `FILE.py:preset` passes the preset to `get_config`.

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
    except Exception as error:  # the user's own code may raise any error
        raise ConfigError(_explain(error, path, preset)) from error
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"`--config`: {path}: expected a `ConfigDict` from `get_config`, got "
            f"{type(config).__name__}; does it end with `return config`?"
        )
    return config


def read_config(file: str, fields: Sequence[tuple[str, str | None]]) -> ConfigDict:
    """Loads a configuration and sets some of its fields.

    Args:
      file: `FILE` or `FILE:PRESET`, as `find_config` takes it.
      fields: path of each field and the text of its new value, e.g. `("optim.lr",
        "1e-3")`; `None` as text switches a field on.

    Raises:
      ConfigError: if the configuration cannot be loaded; see `load_config`.
      UsageError: for an unknown field, or a text that is no value of the field's type.
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
    """Describes the type of a value in ordinary words."""
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
    """Says which error a configuration file raised, and in which line."""
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
            f"got the preset {preset!r} for one that takes none. Leave out :{preset}."
        )
    return (
        f"`--config`: {where}: expected Python that runs, got {text}. Correct that "
        "line."
    )
