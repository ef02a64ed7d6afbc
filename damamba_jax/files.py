"""Files that appear in one move, and the text that goes into them.

A file is written under another name and renamed when it is complete: a reader sees the
whole file or none. Text is always UTF-8; JSON is strict, without NaN and infinity.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

_Value = TypeVar("_Value")

# Systems take 255, of which an unfinished file's name needs some.
_MAX_NAME_BYTES = 160


@contextmanager
def replace_path(path: str | os.PathLike) -> Iterator[Path]:
    """Names a file to be written, which takes the place of `path` at the end."""
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


def remove_unfinished(folder: Path) -> None:
    """Removes what this process has begun to write in a folder, before it ends."""
    for part in folder.glob(f".*.{os.getpid()}-*.part"):
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
      ValueError: for text that is no JSON.
    """
    return json.loads(read_text(path))


def read_kept(
    path: Path, read: Callable[[Path], _Value], log: logging.Logger
) -> _Value | None:
    """Reads a file of a cache, which anything may have happened to.

    Args:
      path: the file.
      read: reads it; whatever it raises means that the file is of no use.
      log: gets a line about a file that is there and cannot be read.

    Returns:
      What `read` returned; `None` if the file must be made anew.
    """
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # damaged headers raise whatever their parsers do
        log.warning("%s: damaged or not readable (%s); made anew.", path, error)
        return None


def keep_file(
    path: Path, write: Callable[[BinaryIO], object], log: logging.Logger
) -> None:
    """Writes a file of a cache; one that cannot be written is a line in the log."""
    try:
        with replace_file(path) as file:
            write(file)
    except OSError as error:
        log.warning("%s: not kept: %s", path, error)


def split_file_name(split: str) -> str:
    """Turns the name of a split, such as `noxi/val`, into the name of a file."""
    return split.replace("/", "-").replace(" ", "-")


def short_name(name: str) -> str:
    """Makes a name from disk the part of a file's name: short, and of plain characters.

    Names that are so already stay; what is cut or replaced is told apart by a digest.
    """
    if name.isprintable() and len(os.fsencode(name)) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    kept = "".join(c if c.isprintable() else "_" for c in name)
    # A character has up to four bytes.
    return f"{kept[: _MAX_NAME_BYTES // 4]}-{digest}"
