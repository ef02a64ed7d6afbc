"""Flags and files that the commands of this folder share."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.errors import ConfigError
from damamba_jax.files import write_json, write_text
from damamba_jax.reporting.table import Table
from damamba_jax.runtime.command import make_console, run
from damamba_jax.runtime.parser import Parser, one_of, whole

FOLDER = "runs/benchmarks"


def start(
    body: Callable[[Sequence[str], Console], int], argv: Sequence[str] | None
) -> int:
    """Runs the body of a command and shows its progress on standard error.

    A signal ends the process at once, because every row is on disk as soon as it is
    measured.

    Args:
      body: a function of the arguments and the console that returns the exit code.
      argv: the flags; `None` means those of this process.
    """
    argv = sys.argv[1:] if argv is None else argv
    console = make_console(stderr=True)
    return run(lambda _, console: body(argv, console), console=console)


def read(
    argv: Sequence[str],
    parser: Parser,
    *,
    defaults: Sequence[str],
) -> tuple[argparse.Namespace, list[Config]]:
    """Reads the command line once for each `--config`, with the same other flags.

    Args:
      argv: the flags.
      parser: the parser of the flags that only one command has. The shared flags are
        added to it.
      defaults: the configurations that are used if none is given.

    Returns:
      The flags, and the configurations.

    Raises:
      ConfigError: if a configuration is given twice.
    """
    _add_shared(parser, defaults)
    given, rest = split_configs(argv)
    configs, options = [], argparse.Namespace()
    for file in given or defaults:
        options = parser.parse([f"--config={file}", *rest])
        configs.append(from_config_dict(options.config))
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"`--config`: expected each configuration once, got {', '.join(names)}."
        )
    return options, configs


def read_one(
    argv: Sequence[str], parser: Parser, *, default: str
) -> tuple[argparse.Namespace, Config]:
    """Reads the command line of a command that measures one configuration.

    Args:
      argv: the flags.
      parser: the parser of the flags that only one command has. The shared flags are
        added to it.
      default: the configuration that is used if none is given.

    Returns:
      The flags, and the configuration with the batch size of `--batch_size`.

    Raises:
      ConfigError: if several configurations are given.
    """
    options, configs = read(argv, parser, defaults=[default])
    if len(configs) > 1:
        raise ConfigError(
            f"`--config`: expected one configuration, got {len(configs)}; leave out "
            "all but one."
        )
    return options, set_batch_size(configs[0], options.batch_size)


def split_configs(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits a command line into the files of `--config` and all other arguments."""
    given: list[str] = []
    rest: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        flag, equals, file = argument.partition("=")
        if flag == "--config":
            given.append(file if equals else next(arguments, ""))
        else:
            rest.append(argument)
    return given, rest


def _add_shared(parser: Parser, defaults: Sequence[str]) -> None:
    """Adds the flags that every command has."""
    parser.add_config()
    parser.add_argument(
        "--batch_size", type=whole(0), default=0, metavar="N",
        help=f"windows of a batch; 0 means as many as in training. The default "
        f"configurations are {' and '.join(defaults)}",
    )  # fmt: skip
    parser.add_argument(
        "--platform", type=one_of("auto", "cpu", "gpu"), default="auto",
        metavar="auto|cpu|gpu", help="kind of device",
    )  # fmt: skip


def add_jobs(parser: Parser) -> None:
    """Adds `--jobs` to a command that can run several processes at a time."""
    parser.add_argument(
        "--jobs", type=whole(1), default=1, metavar="N",
        help="number of processes at a time; they run their steps one by one",
    )  # fmt: skip


def set_batch_size(config: Config, batch_size: int) -> Config:
    """Sets the number of windows in a batch; 0 leaves it as in training."""
    if not batch_size:
        return config
    train = dataclasses.replace(config.train, batch_size=batch_size)
    return dataclasses.replace(config, train=train)


def parse_lengths(
    text: str, named: Mapping[str, Sequence[int]] | None = None
) -> list[int]:
    """Reads lengths of windows. A name in `named` stands for several lengths.

    Raises:
      ConfigError: if the text is neither lengths nor a name.
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
            f"(such as 256,512), got {text!r}."
        )
    return lengths


def write(table: Table, numbers: Mapping[str, Any], picture: Path) -> None:
    """Writes a table as Markdown, and its numbers as JSON, beside its picture."""
    write_text(picture.with_suffix(".md"), table.to_markdown())
    write_json(picture.with_suffix(".json"), numbers)


def show(table: Table, picture: Path, *, columns: int, lines: Sequence[str]) -> None:
    """Prints a table, and the paths of the files.

    Args:
      table: the table.
      picture: the path of the table's picture.
      columns: the width of the output if it is not a terminal.
      lines: the lines before the table.
    """
    console = make_console(width=None if sys.stdout.isatty() else columns)
    for line in lines:
        console.print(line)
    console.print(table.to_rich(), soft_wrap=False)
    console.print(f"picture: {picture}; the tables are beside it (.md, .json)")
