"""Tables and pictures."""

import importlib.util
import os
import sys

_MODULE = "module://"


def _forget_absent_backend() -> None:
    """Drops the setting of a backend of matplotlib that is not installed here.

    A command that is started from a notebook inherits the notebook's backend. If this
    backend is not installed here, matplotlib cannot be imported. Pictures are files
    here, so they need no backend.
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
