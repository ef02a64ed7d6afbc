"""The end of a command: messages about errors that a user can fix, and exit status."""

import errno
import io
import os
import sys
from pathlib import Path
from typing import NoReturn

from damamba_jax.errors import UsageError, UserError, printable

# Messages of these errors say what to change; a traceback would only hide that.
USER_ERRORS = (UserError, OSError)


def end(error: Exception) -> NoReturn:
    """Ends the program with a message on standard error, and the error's exit status.

    The status is 2 for a wrong command line. It is 1 for all other errors that a user
    can fix, for instance in a configuration or a corpus.
    """
    text = explain_system(error) if isinstance(error, OSError) else str(error)
    text = printable(f"error: {text}")
    if isinstance(error, UsageError):
        print(text, file=sys.stderr)
        sys.exit(error.exit_status)
    sys.exit(text)  # to standard error, with exit status 1


# Advice for errors of the operating system.
_REMEDIES = {
    errno.ENOENT: "Check the path: nothing of that name is there.",
    errno.EACCES: "Change its permissions, or name another folder.",
    errno.EPERM: "Change its permissions, or name another folder.",
    errno.EROFS: "Name a folder on a disk that can be written to.",
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
    """Says what to change if JAX cannot start its platform; empty for other errors.

    JAX has no error class for this case: it raises a `RuntimeError`, or an assertion in
    its list of platforms fails.
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


def replace_unknown_letters() -> None:
    """Prints a question mark for each letter that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
