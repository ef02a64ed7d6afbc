"""Errors that a user can mend. Each message says what to change."""

import difflib
import os
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can mend.

    A command prints its message without a traceback, and ends with `exit_status`.
    """

    exit_status = 1


class ConfigError(UserError, ValueError):
    """A configuration has an unknown field, or a value out of its range."""


class UsageError(ConfigError):
    """A command line is wrong by itself, whatever the files hold that it names."""

    exit_status = 2


class CorpusError(UserError, ValueError):
    """A folder is not the corpus that it was taken for."""


class DataFormatError(UserError, ValueError):
    """A file breaks its format; the message names file, field, expected and got."""


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
    """Builds the error for one field; a long `got` is shortened."""
    text = got if isinstance(got, str) else repr(got)
    if len(text) > 120:
        text = text[:117] + "..."
    return DataFormatError(
        f"{os.fspath(path)}: `{field}`: expected {expected}, got {text}."
    )


def printable(text: str) -> str:
    """Replaces what a terminal would obey: names of files and streams are data."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Ends a message about an unknown name: the known name most like it, and all."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{hint} Known: {', '.join(sorted(known))}."
