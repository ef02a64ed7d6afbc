"""Parts that all commands share: the console, the log, errors and the exit status."""

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
    """Runs the body of a command; signals and user errors become the exit status.

    Args:
      body: function that is called with the watch for signals and the console.
      console: console for progress and tables; `None` makes one with `make_console`.
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
        except BrokenPipeError:  # the reader of the output has stopped reading
            raise
        except USER_ERRORS as error:
            end(error)
        except (RuntimeError, AssertionError) as error:
            if reason := missing_platform(error):
                sys.exit(f"error: {reason}")
            raise


def make_console(**options: Any) -> Console:
    """Makes the console of a command, for progress and tables.

    Names from disk and from configurations are shown as they are, never as markup.
    Lines are never cut; a terminal continues a long line in the next one.

    Args:
      options: options of rich's `Console`, e.g. its `file`.
    """
    fixed = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True}
    return Console(**{**fixed, **options})


def show_log(level: int = logging.INFO) -> Console:
    """Shows the messages of this project, and the warnings of other libraries.

    A letter that the terminal's encoding does not have becomes a question mark. Outside
    a terminal, a line is as long as its text.

    Args:
      level: lowest level of this project's messages that is shown; `logging.WARNING`
        if several runs would log the same lines.

    Returns:
      The console for progress and tables. In a terminal, the messages are printed
      through it too, because they would break a live progress bar otherwise.
    """
    absl_logging.set_verbosity(absl_logging.WARNING)
    # Orbax warns that a checkpoint is opened only for reading, which is intended.
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
