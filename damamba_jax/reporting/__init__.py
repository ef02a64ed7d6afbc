"""Tables and pictures."""

import importlib.util
import os
import sys

_MODULE = "module://"


def _forget_absent_backend() -> None:
    """Drops a backend of matplotlib that another program asked for and is not here.

    A command that is started from a notebook inherits the notebook's backend, and
    matplotlib refuses to be imported where that is not installed. Pictures are files
    here, which need no backend.
    """
    name = os.environ.get("MPLBACKEND", "")
    if "matplotlib" in sys.modules or not name.startswith(_MODULE):
        return
    try:
        found = importlib.util.find_spec(name.removeprefix(_MODULE))
    except ImportError:
        found = None
    if found is None:
        del os.environ["MPLBACKEND"]


_forget_absent_backend()
