"""Parts that all commands share: configurations, logs, errors and exit status."""

import logging
import signal
import sys
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from absl import logging as absl_logging
from rich.console import Console
from rich.logging import RichHandler

from damamba_jax.runtime.ending import (
    USER_ERRORS,
    end,
    missing_platform,
    replace_unknown_letters,
)
from damamba_jax.runtime.stop import Stopped, StopRequest

_Result = TypeVar("_Result")


def run(
    body: Callable[[StopRequest, Console], _Result],
    *,
    console: Console | None = None,
    warnings: Collection[signal.Signals] = (),
) -> _Result:
    """Runs the body of a command; signals and users' errors become its exit status.

    Args:
      body: called with the watch for signals and the console.
      console: where progress and tables go; `make_console()` if `None`.
      warnings: signals that do not end the program; see `StopRequest`.

    Returns:
      What the body returns, for instance an exit status.
    """
    console = console or make_console()
    with StopRequest(warnings=warnings) as stop:
        try:
            return body(stop, console)
        except Stopped as stopped:
            console.print(f"{stopped}: stopped; the same command resumes.")
            sys.exit(stop.exit_status)
        except BrokenPipeError:  # whoever reads the output has left
            raise
        except USER_ERRORS as error:
            end(error)
        except (RuntimeError, AssertionError) as error:
            if reason := missing_platform(error):
                sys.exit(f"error: {reason}")
            raise


def make_console(**options: Any) -> Console:
    """Makes the console of a command, for progress and tables.

    Names from disk and from configurations are shown as they are: nothing is markup.
    Lines are never cut; a terminal breaks them where it ends.

    Args:
      options: for rich's `Console`, e.g. its `file`.
    """
    fixed = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True}
    return Console(**{**fixed, **options})


def show_log(level: int = logging.INFO) -> Console:
    """Shows this project's messages, and other libraries' warnings.

    What the terminal's encoding does not have becomes a question mark, and lines are
    as long as their text where no terminal bounds them.

    Args:
      level: the lowest level that is shown of this project's messages;
        `logging.WARNING` where several runs would say the same.

    Returns:
      The console for progress and tables. In a terminal the messages go through it as
      well, or they would be written into a live bar.
    """
    absl_logging.set_verbosity(absl_logging.WARNING)
    # Orbax warns of what was asked for: a checkpoint that is only read.
    absl_logging.get_absl_logger().addFilter(
        lambda record: "read only" not in record.getMessage()
    )
    replace_unknown_letters()
    console, errors = make_console(), make_console(stderr=True)
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if errors.is_terminal:
        handler = RichHandler(
            console=console if console.is_terminal else errors,
            show_time=False, show_path=False, markup=False,
        )  # fmt: skip
    log = logging.getLogger("damamba_jax")
    log.setLevel(level)
    log.handlers, log.propagate = [handler], False
    return console


def mark_log(mark: str) -> None:
    """Puts a mark in front of every later message of this project."""
    for handler in logging.getLogger("damamba_jax").handlers:
        handler.setFormatter(logging.Formatter(f"{mark}%(message)s"))
