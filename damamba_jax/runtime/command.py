"""Parts that all commands share: configurations, logs, errors and exit status."""

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from absl import logging as absl_logging
from rich.console import Console
from rich.logging import RichHandler

from damamba_jax.errors import UsageError, UserError, printable
from damamba_jax.runtime.parser import replace_unknown_letters
from damamba_jax.runtime.stop import Stopped, StopRequest

# Their messages say what to change; a traceback would only hide it.
USER_ERRORS = (UserError, OSError)

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


def end(error: Exception) -> NoReturn:
    """Ends the program with a message on standard error, and the error's exit status.

    The status is 2 for a command line that is wrong by itself, and 1 for everything
    else that a user can mend, such as what a configuration or a corpus holds.
    """
    text = explain_system(error) if isinstance(error, OSError) else str(error)
    text = printable(f"error: {text}")
    if isinstance(error, UsageError):
        print(text, file=sys.stderr)
        sys.exit(error.exit_status)
    sys.exit(text)  # to standard error, with exit status 1


# What to do about errors of the operating system.
_REMEDIES = {
    errno.ENOENT: "Check the path: nothing of that name is there.",
    errno.EACCES: "Change its permissions, or name another folder.",
    errno.EPERM: "Change its permissions, or name another folder.",
    errno.EROFS: "Name a folder on a disk that can be written.",
    errno.ENOSPC: "Free some space, or name a folder on another disk; `damamba cache` "
    "lists what can be removed.",
    errno.EDQUOT: "Free some of your quota, or name a folder on another disk.",
    errno.ENOTDIR: "Name a folder: a file is in its place.",
    errno.EISDIR: "Name a file: a folder is in its place.",
    errno.EEXIST: "Name something new, or remove what is there.",
    errno.EMFILE: "Allow more open files: ulimit -n 4096.",
}  # fmt: skip


def explain_system(error: OSError) -> str:
    """Says what the operating system refused, for which file, and what to do."""
    if error.errno is None:
        return str(error)
    file = f"{os.fspath(error.filename)}: " if error.filename is not None else ""
    remedy = _REMEDIES.get(error.errno, "")
    return f"{file}{error.strerror}. {remedy}".rstrip()


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
