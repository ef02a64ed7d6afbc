"""Files that appear in one move, and the text that goes into them.

A file is written under another name and renamed when it is complete, so that a reader
sees the whole file or none. Text is always UTF-8. JSON is strict: it has no NaN and no
infinity.
"""

import glob
import hashlib
import json
import logging
import os
import struct
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

_Value = TypeVar("_Value")

# Errors that libraries raise for damaged or hostile archives and the arrays in them.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError,
    EOFError, OSError, ValueError, TypeError, RuntimeError, OverflowError, LookupError,
    MemoryError,
)  # fmt: skip

# File systems allow 255 bytes; the name of an unfinished file needs some of them.
_MAX_NAME_BYTES = 160


@contextmanager
def replace_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields the path of a new file, which replaces `path` when the block ends.

    If the block raises an error, the new file is removed and `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of `path` once it is complete."""
    with replace_path(path) as part, open(part, "wb") as file:
        yield file


def remove_unfinished(path: Path) -> None:
    """Removes unfinished files of `path` and of files whose names begin with its name.

    Killed processes have left them. Nobody may be writing these files.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}*.part"):
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file that appears in one move."""
    with replace_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes a value as indented, strict JSON.

    Raises:
      ValueError: for a number that is not finite.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_text(path: str | os.PathLike) -> str:
    """Reads a text file as UTF-8, whatever the locale says."""
    return Path(path).read_text(encoding="utf-8")


def read_json(path: str | os.PathLike) -> Any:
    """Reads a value that `write_json` wrote.

    Raises:
      ValueError: for text that is not JSON.
    """
    return json.loads(read_text(path))


def read_kept(
    path: Path, read: Callable[[Path], _Value], log: logging.Logger
) -> _Value | None:
    """Reads a file of a cache, which may be missing or damaged.

    Args:
      path: path of the file.
      read: function that reads the file; any error of it means a damaged file.
      log: log that gets a line if the file exists but cannot be read.

    Returns:
      What `read` returned; `None` if the file must be made anew.
    """
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # parsers of damaged files may raise any error
        log.warning("%s: damaged or not readable (%s); made anew.", path, error)
        return None


def keep_file(
    path: Path, write: Callable[[BinaryIO], object], log: logging.Logger
) -> None:
    """Writes a file of a cache; if that fails, the log gets a line about it."""
    try:
        with replace_file(path) as file:
            write(file)
    except OSError as error:
        log.warning("%s: not kept: %s", path, error)


def split_file_name(split: str) -> str:
    """Turns the name of a split, such as `noxi/val`, into the name of a file."""
    return split.replace("/", "-").replace(" ", "-")


def short_name(name: str) -> str:
    """Shortens a name from disk, so that it can be a part of a file's name.

    A name that is short and printable stays as it is. Any other name is cut, its
    unprintable characters are replaced, and a digest keeps it unique.
    """
    if name.isprintable() and len(os.fsencode(name)) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    kept = "".join(c if c.isprintable() else "_" for c in name)
    # A character takes up to four bytes.
    return f"{kept[: _MAX_NAME_BYTES // 4]}-{digest}"
