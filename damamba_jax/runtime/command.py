"""Parts that all commands share: configurations, logs, errors and exit status."""

import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from absl import flags
from absl import logging as absl_logging
from rich.console import Console
from rich.logging import RichHandler

from damamba_jax.config.tree import check_field
from damamba_jax.errors import ConfigError, UserError, printable
from damamba_jax.runtime.config_files import find_config_file, load_config
from damamba_jax.runtime.stop import Stopped, StopRequest

# Their messages say what to change; a traceback would only hide it.
USER_ERRORS = (UserError, OSError)

_Result = TypeVar("_Result")


def run(
    body: Callable[[StopRequest, Console], _Result], *, console: Console | None = None
) -> _Result:
    """Runs the body of a command; signals and users' errors become its exit status.

    Args:
      body: called with the watch for signals and the console.
      console: where progress and tables go; standard output if `None`.

    Returns:
      What the body returns, for instance an exit status.
    """
    console = console or Console()
    with StopRequest() as stop:
        try:
            return body(stop, console)
        except Stopped as signal:
            console.print(f"{signal}: stopped; the same command resumes.")
            sys.exit(stop.exit_status)
        except BrokenPipeError:  # whoever reads the output has left
            raise
        except USER_ERRORS as error:
            # To standard error, with exit status 1.
            sys.exit(printable(f"error: {error}"))
        except (RuntimeError, AssertionError) as error:
            if reason := missing_platform(error):
                sys.exit(f"error: {reason}")
            raise


def missing_platform(error: Exception) -> str:
    """Says what to change where JAX cannot start its platform; empty for other errors.

    JAX has no error of its own for that: it raises a `RuntimeError`, or an assertion
    of its list of platforms fails.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "")
    text, trace = str(error), error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename if trace else ""
    if "initialize backend" not in text and Path(file).name != "xla_bridge.py":
        return ""
    reason = f" ({text.splitlines()[0]})" if text else ""
    return (
        f"`JAX_PLATFORMS`: expected a platform that this machine has, got "
        f"{platforms!r}{reason}. Unset it, set JAX_PLATFORMS=cpu, or install JAX for "
        "the machine's GPU: pip install 'jax[cuda13]'."
    )


def show_log(level: int = logging.INFO) -> None:
    """Shows this project's messages, and other libraries' warnings.

    What the terminal's encoding does not have becomes a question mark, and lines are
    as long as their text where no terminal bounds them.

    Args:
      level: the lowest level that is shown of this project's messages;
        `logging.WARNING` where several runs would say the same.
    """
    absl_logging.set_verbosity(absl_logging.WARNING)
    # Orbax warns of what was asked for: a checkpoint that is only read.
    absl_logging.get_absl_logger().addFilter(
        lambda record: "read only" not in record.getMessage()
    )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    console = Console(stderr=True)
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(
            console=console, show_time=False, show_path=False, markup=False
        )
    else:
        handler = logging.StreamHandler(sys.stderr)
    log = logging.getLogger("damamba_jax")
    log.setLevel(level)
    log.handlers, log.propagate = [handler], False


def expand_home(argv: Sequence[str]) -> list[str]:
    """Puts the user's home in the place of `~` in `--flag=~/folder`.

    Shells do so at the start of an argument alone.
    """
    found = []
    for argument in argv:
        flag, equals, value = argument.partition("=")
        if equals and flag.startswith("-") and value.startswith("~"):
            argument = f"{flag}={os.path.expanduser(value)}"
        found.append(argument)
    return found


def mark_log(mark: str) -> None:
    """Puts a mark in front of every later message of this project."""
    for handler in logging.getLogger("damamba_jax").handlers:
        handler.setFormatter(logging.Formatter(f"{mark}%(message)s"))


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses absl's flags; what is wrong with `--config` is said in one line."""
    argv = find_config_file(expand_home(argv))
    try:
        _check_config(argv)
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"error: {error}\nAll flags: --help.")
    except USER_ERRORS as error:
        sys.exit(f"error: {error}")


def read_flags(values: flags.FlagValues, argv: Sequence[str], doc: str) -> None:
    """Reads flags that one command alone has; `--help` shows them and ends the command.

    Args:
      values: the flags, defined; `--help` is added to them.
      argv: the name of the command, then flags; with the path of `--config` as
        `find_config_file` gives it.
      doc: the text of `--help` before the flags.

    Raises:
      ConfigError: for an unknown flag or field, a wrong value, or what is no flag.
    """
    flags.DEFINE_boolean("help", False, "Shows this text.", flag_values=values)
    _check_config(argv)
    try:
        rest = values(expand_home(argv))
    except flags.Error as error:
        raise ConfigError(f"{error} All flags: --help.") from error
    if values["help"].value:
        print(f"{doc}\n{values.get_help()}")
        sys.exit()
    if len(rest) > 1:
        raise ConfigError(f"expected flags only, got {rest[1]!r}.")


def _check_config(argv: Sequence[str]) -> None:
    """Loads the file of `--config` and looks for the fields that are set in it.

    Raises:
      ConfigError: if the file, its preset or a field is not there.
    """
    for argument in argv:
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-config") and equals:
            config = load_config(value)
            for override in argv:
                if override.startswith(("--config.", "-config.")):
                    path = override.partition("=")[0].partition(".")[2]
                    check_field(config, path)


def parse_integers(flag: str, text: str) -> list[int]:
    """Reads numbers with commas between them, each once.

    Raises:
      ConfigError: for anything else.
    """
    try:
        return list(dict.fromkeys(map(int, text.split(","))))
    except ValueError:
        raise ConfigError(
            f"`{flag}`: expected whole numbers with commas between, got {text!r}."
        ) from None
