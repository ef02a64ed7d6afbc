"""Flags and files that the commands of this room share."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.errors import ConfigError
from damamba_jax.files import write_json, write_text
from damamba_jax.reporting.table import Table
from damamba_jax.runtime.command import read_flags, run
from damamba_jax.runtime.config_files import find_config_file

FOLDER = "runs/benchmarks"
_CONFIG_FLAGS = ("--config=", "-config=")


def start(body: Callable[[Sequence[str], Console], int], argv: Sequence[str]) -> int:
    """Runs the body of a command, whose progress goes to standard error.

    Every row is on disk as soon as it is measured: a signal ends the process at once.

    Args:
      body: called with the arguments and the console; returns the exit code.
      argv: the name of the command, then flags.
    """
    console = Console(stderr=True)
    return run(lambda _, console: body(argv, console), console=console)


def read(
    argv: Sequence[str],
    define: Callable[[flags.FlagValues], None],
    *,
    defaults: Sequence[str],
    doc: str,
) -> tuple[flags.FlagValues, list[Config]]:
    """Reads the command line once for each `--config`; flags are the same in all.

    Args:
      argv: the name of the command, then flags.
      define: defines the flags that only one command has.
      defaults: the configurations that are taken if none is given.
      doc: the text of `--help` before the flags.

    Raises:
      ConfigError: for a wrong flag, or a configuration that is given twice.
    """
    argv = find_config_file(argv)
    rest = [a for a in argv if not a.startswith(_CONFIG_FLAGS)]
    given = [a for a in argv if a.startswith(_CONFIG_FLAGS)]
    if not given:
        given = find_config_file([f"--config={path}" for path in defaults])
    configs, values = [], flags.FlagValues()
    for file in given:
        line = [rest[0], file, *rest[1:]]
        values = _shared_flags(line, defaults)
        define(values)
        read_flags(values, line, doc)
        configs.append(from_config_dict(values.config))
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise ConfigError(f"`--config`: expected each once, got {', '.join(names)}.")
    return values, configs


def _shared_flags(argv: list[str], defaults: Sequence[str]) -> flags.FlagValues:
    """Defines flags of every command; `argv` sets fields of `--config`."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, f"Configuration; default {' and '.join(defaults)}. Fields as "
        "in training, e.g. --config.model.remat=False.", flag_values=values,
        sys_argv=argv,
    )  # fmt: skip
    flags.DEFINE_integer(
        "batch_size", 0, "Windows; 0: as in training.", lower_bound=0,
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "jobs", 1, "Processes at a time; they run their steps one by one.",
        lower_bound=1, flag_values=values,
    )  # fmt: skip
    flags.DEFINE_enum(
        "platform", "auto", ["auto", "cpu", "gpu"], "Device.", flag_values=values
    )
    return values


def set_batch_size(config: Config, batch_size: int) -> Config:
    """Sets the number of windows in a batch; 0 leaves it as in training."""
    if not batch_size:
        return config
    train = dataclasses.replace(config.train, batch_size=batch_size)
    return dataclasses.replace(config, train=train)


def parse_lengths(
    text: str, named: Mapping[str, Sequence[int]] | None = None
) -> list[int]:
    """Reads lengths of windows; a name in `named` stands for several.

    Raises:
      ConfigError: if they are none.
    """
    named = named or {}
    if text in named:
        return list(named[text])
    try:
        lengths = sorted({int(part) for part in text.split(",")})
    except ValueError:
        lengths = []
    if not lengths or lengths[0] < 3:
        known = "".join(f"`{name}`, or " for name in named)
        raise ConfigError(
            f"`--lengths`: expected {known}whole numbers of at least 3 with commas "
            f"(e.g. 256,512), got {text!r}."
        )
    return lengths


def write(table: Table, numbers: Mapping[str, Any], picture: Path) -> None:
    """Writes a table, as Markdown and as numbers, beside its picture."""
    write_text(picture.with_suffix(".md"), table.to_markdown())
    write_json(picture.with_suffix(".json"), numbers)


def show(table: Table, picture: Path, *, columns: int, lines: Sequence[str]) -> None:
    """Prints a table, and where the files are.

    Args:
      table: the table.
      picture: the path of its picture.
      columns: the width of what is no terminal.
      lines: lines before the table.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else columns)
    for line in lines:
        console.print(line)
    console.print(table.to_rich())
    console.print(f"picture: {picture}; tables beside it (.md, .json)")
