"""Errors that a user can fix. Each message says what to change."""

import difflib
import os
from collections.abc import Iterable


class UserError(Exception):
    """An error that the user can fix.

    A command prints its message without a traceback, and ends with `exit_status`.
    """

    exit_status = 1


class ConfigError(UserError, ValueError):
    """A configuration has an unknown field, or a value out of its range."""


class UsageError(ConfigError):
    """A command line is wrong, whatever the files that it names hold."""

    exit_status = 2


class CorpusError(UserError, ValueError):
    """A folder does not hold the corpus that was expected there."""


class DataFormatError(UserError, ValueError):
    """A file breaks the rules of its format.

    The message names the file and the field, and says what was expected and found.
    """


class CheckpointError(UserError, ValueError):
    """A checkpoint is absent, damaged, or belongs to another model."""


class ShapeError(CheckpointError):
    """A checkpoint holds arrays of other shapes than the model."""


class WorkdirError(UserError, ValueError):
    """A workdir is in use, or belongs to another configuration."""


class TrainingError(UserError, RuntimeError):
    """Training cannot go on, for instance because the loss stays non-finite."""


def format_error(
    path: str | os.PathLike, field: str, *, expected: str, got: object
) -> DataFormatError:
    """Builds the error for one field of a file; a long `got` is shortened.

    Args:
      path: path of the file.
      field: name of the field.
      expected: words that say what the field may hold.
      got: value that was found.
    """
    text = got if isinstance(got, str) else repr(got)
    if len(text) > 120:
        text = text[:117] + "..."
    return DataFormatError(
        f"{os.fspath(path)}: `{field}`: expected {expected}, got {text}."
    )


def printable(text: str) -> str:
    """Replaces control characters, which a terminal would obey.

    Names of files and streams come from outside, so they may hold such characters.
    """
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Writes the end of a message about an unknown name.

    It names the known name that is most similar, and then all known names.
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{hint} Known: {', '.join(sorted(known))}."
