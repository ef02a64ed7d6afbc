"""Command lines: flags, help and errors have one form in every command.

A wrong command line ends the program with exit status 2 and one message. The message
says what was expected, what was got, and how to fix it.
"""

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from damamba_jax.errors import ConfigError, UsageError, nearest, printable
from damamba_jax.runtime.commands import find_commands, load_parser
from damamba_jax.runtime.ending import USER_ERRORS, end, replace_unknown_letters

_NAMED = re.compile(r"argument ([\w-]+)[^:]*: (.*)", re.DOTALL)
_REQUIRED = "the following arguments are required: "


# Which corpus `--root` is for commands that take a model.
OF_THE_MODEL = "folder of the corpus; default: the one that the model was trained on"


class Parser(argparse.ArgumentParser):
    """Parser of the flags of one command.

    Args:
      command: the words after `damamba`, e.g. `"train"`. A text with a dot is a whole
        program, e.g. `"python -m benchmarks.loader"`.
      doc: the text of `--help`; its first line is a whole sentence.
    """

    def __init__(self, command: str, doc: str | None) -> None:
        self.command = command if "." in command else f"damamba {command}"
        super().__init__(
            prog=self.command,
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # Otherwise a new flag could change the meaning of a shortened flag.
            allow_abbrev=False,
        )
        self._takes_config = False

    def add_config(self, *, required: bool = False, flag: str = "--config") -> None:
        """Adds the configuration: a file, and `--config.FIELD=VALUE` for its fields.

        Args:
          required: whether the command line must name a file.
          flag: `"config"` for a file that is named without a flag.
        """
        self._takes_config = True
        options: dict[str, Any] = {"required": required} if flag[0] == "-" else {}
        self.add_argument(
            flag, metavar="FILE[:PRESET]",
            help="configuration, e.g. configs/noxi.py or configs/noxi.py:demo; "
            "--config.FIELD=VALUE, e.g. --config.optim.lr=1e-3, sets one of its fields",
            **options,
        )  # fmt: skip

    def add_protocol(self) -> None:
        """Adds `--protocol`, which says how whole sessions are predicted."""
        self.add_argument(
            "--protocol", type=one_of("stitched", "long"), default="stitched",
            metavar="stitched|long",
            help="how whole sessions are predicted; `stitched` (default) joins the "
            "cores of windows, `long` reads a session in one pass",
        )  # fmt: skip

    def add_roots(self, help_text: str) -> None:
        """Adds `--root` and `--labels_root`.

        Args:
          help_text: which corpus the root is, and what is its default.
        """
        self.add_argument("--root", default="", metavar="DIR", help=help_text)
        self.add_argument(
            "--labels_root", default="", metavar="DIR",
            help="folder of the annotations, if they are not beside the features",
        )  # fmt: skip

    def add_smoothing(self) -> None:
        """Adds `--smoothing`, the smoothing of predictions; its value stays text."""
        self.add_argument(
            "--smoothing", type=_smoothing, metavar="KIND:SECONDS",
            help="smoothing of the predictions: none, exponential:S (causal) or "
            "gaussian:S, with S seconds; choose it on validation data; default: that "
            "of the model's configuration",
        )  # fmt: skip

    def add_workdirs(self, *, several: str) -> None:
        """Adds `--workdir`, which may be given more than once.

        Args:
          several: words of the help that say what several workdirs mean.
        """
        self.add_argument(
            "--workdir", required=True, action="append", metavar="DIR",
            help=f"folder of a training run; if it is given several times, {several}",
        )  # fmt: skip

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Reads a command line.

        Args:
          argv: flags and arguments; `None` takes those of this process.

        Returns:
          The value of each flag. If the parser takes a configuration, `config` is a
          `ConfigDict`, or `None` if the command line names none.
        """
        replace_unknown_letters()
        argv = expand_home(sys.argv[1:] if argv is None else argv)
        fields: list[tuple[str, str | None]] = []
        if self._takes_config:
            argv, fields = split_fields(argv)
        # Checked before argparse, which would report missing flags first.
        for argument in argv:
            flag = argument.partition("=")[0]
            if flag[:2] == "--" and flag not in self._option_string_actions:
                self.error(self._explain_unknown(flag))
        options, rest = self.parse_known_args(argv)
        if rest:
            self.error(f"expected flags only, got {rest[0]!r}")
        if not self._takes_config:
            return options
        # Reading a configuration takes longer than everything else here.
        from damamba_jax.runtime.config_files import read_config

        file, options.config_file = options.config, options.config
        if fields and not file:
            self.error(
                f"`--config.{fields[0][0]}`: expected --config=FILE as well, got none"
            )
        try:
            options.config = None
            if file is not None:
                options.config = read_config(file, fields)
        except USER_ERRORS as error:
            end(error)
        return options

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit status 2; `message` says what is wrong."""
        if message.startswith(_REQUIRED):
            names = message.removeprefix(_REQUIRED)
            message = f"`{names}`: expected a value, got nothing"
        elif found := _NAMED.fullmatch(message):
            message = f"`{found[1]}`: {found[2]}"
        message += "" if message[-1] in ".?" else "."
        message = f"error: {message} All flags: {self.command} --help"
        print(printable(message), file=sys.stderr)
        sys.exit(UsageError.exit_status)

    def known_flags(self) -> list[str]:
        """Lists the flags, without their short forms."""
        return [flag for flag in self._option_string_actions if flag[:2] == "--"]

    def _explain_unknown(self, flag: str) -> str:
        """Says what is wrong with a flag that this command does not have."""
        owners = _commands_with("--config" if flag.startswith("--config.") else flag)
        if owners:
            *others, last = (f"`{name}`" for name in owners)
            before = f"{', '.join(others)} or " if others else ""
            told = f"; expected with {before}{last}."
        else:
            told = nearest(flag, self.known_flags())
        return f"`{flag}`: unknown flag of `{self.command}`{told}"


def one_of(*names: str) -> Callable[[str], str]:
    """Makes the `type` of a flag that takes one of some names."""

    def check(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"expected one of {', '.join(names)}, got {text!r}"
                + nearest(text, names).partition(" Known")[0]
            )
        return text

    check.names = names  # pyright: ignore[reportFunctionMemberAccess]
    return check


def some_of(*names: str) -> Callable[[str], list[str]]:
    """Makes the `type` of a flag that takes some of these names, with commas."""
    check_name = one_of(*names)

    def check(text: str) -> list[str]:
        return [check_name(part) for part in split_names(text)]

    check.names = names  # pyright: ignore[reportFunctionMemberAccess]
    return check


def whole(at_least: int) -> Callable[[str], int]:
    """Makes the `type` of a flag that takes a whole number of at least `at_least`."""

    def check(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = at_least - 1
        if number < at_least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {at_least}, got {text!r}"
            )
        return number

    return check


def number(at_least: float) -> Callable[[str], float]:
    """Makes the `type` of a flag that takes a finite number of at least `at_least`."""

    def check(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not at_least <= value < math.inf:
            raise argparse.ArgumentTypeError(
                f"expected a number of at least {at_least:g}, got {text!r}"
            )
        return value

    return check


def whole_list(text: str) -> list[int]:
    """Reads whole numbers with commas between; this is a `type` of flags.

    A number that occurs twice is kept once.
    """
    try:
        return list(dict.fromkeys(map(int, text.split(","))))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers with commas between, got {text!r}"
        ) from None


def not_negative_list(text: str) -> list[float]:
    """Reads finite numbers >= 0 with commas between; this is a `type` of flags.

    A number that occurs twice is kept once.
    """
    try:
        found = list(dict.fromkeys(map(float, text.split(","))))
    except ValueError:
        found = [math.nan]
    if not all(0 <= value < math.inf for value in found):
        raise argparse.ArgumentTypeError(
            f"expected numbers >= 0 with commas between, got {text!r}"
        )
    return found


def split_names(text: str) -> list[str]:
    """Reads names with commas between; this is a `type` of flags."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _smoothing(text: str) -> str:
    """Checks the value of `--smoothing`; this is a `type` of flags."""
    from damamba_jax.config.smoothing import parse_smoothing

    try:
        parse_smoothing(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from error
    return text


def _commands_with(flag: str) -> list[str]:
    """Lists the names of the commands that have a flag."""
    found = []
    for name, _ in find_commands():
        parser = load_parser(name)
        if isinstance(parser, Parser) and flag in parser.known_flags():
            found.append(parser.command)
    return sorted(set(found))


def split_fields(
    argv: Sequence[str],
) -> tuple[list[str], list[tuple[str, str | None]]]:
    """Takes `--config.FIELD=VALUE` out of a command line.

    Returns:
      The other arguments, and each field with the text of its value. `None` as text
      means a switch, which has no value.
    """
    others: list[str] = []
    fields: list[tuple[str, str | None]] = []
    waiting = ""
    for argument in argv:
        if waiting and not argument.startswith("--"):
            fields.append((waiting, argument))
            waiting = ""
            continue
        if waiting:
            fields.append((waiting, None))
            waiting = ""
        if not argument.startswith("--config."):
            others.append(argument)
            continue
        path, equals, value = argument.removeprefix("--config.").partition("=")
        if equals:
            fields.append((path, value))
        else:
            waiting = path
    if waiting:
        fields.append((waiting, None))
    return others, fields


def expand_home(argv: Sequence[str]) -> list[str]:
    """Replaces `~` by the user's home folder in `--flag=~/folder`.

    Shells replace it only at the start of an argument.
    """
    found = []
    for argument in argv:
        flag, equals, value = argument.partition("=")
        if equals and flag.startswith("-") and value.startswith("~"):
            argument = f"{flag}={os.path.expanduser(value)}"
        found.append(argument)
    return found
