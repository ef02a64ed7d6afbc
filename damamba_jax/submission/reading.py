"""Reading of archives, which may come from somebody who is not trusted.

Nothing is unpacked to disk. The sizes in headers are never trusted. There is a limit
for the list of files, for each file, and for all files together.
"""

import io
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from damamba_jax.errors import DataFormatError, format_error
from damamba_jax.files import DAMAGE

# A whole archive of 2026 has 135 files, and its list of files has 13 kB.
MAX_DIRECTORY_BYTES = 1 << 20
MAX_FILES = 1 << 12
MAX_FILE_BYTES = 1 << 24
MAX_TOTAL_BYTES = 1 << 29

_PIECE_BYTES = 1 << 16
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_HIDDEN = ("__macosx", "thumbs.db", "desktop.ini")


class Problem(NamedTuple):
    """Something that is wrong with an archive.

    Attributes:
      kind: kind of the problem, e.g. `"lines"`.
      name: file or folder in the archive; empty for the archive itself.
      text: text that says what was expected and what was found.
    """

    kind: str
    name: str
    text: str

    def __str__(self) -> str:
        """Returns the name and the text of the problem."""
        return f"{self.name}: {self.text}" if self.name else self.text


class _BoundedFile(io.FileIO):
    """A file that cannot be read in large pieces."""

    def read(self, size: int | None = -1, /) -> bytes:
        bound = MAX_DIRECTORY_BYTES + 1
        data = super().read(bound if size is None or size < 0 else min(size, bound))
        if data and len(data) == bound:
            raise zipfile.BadZipFile("its list of files is too long")
        return data or b""


class Archive:
    """An open archive, its files, and the problems of its names.

    Args:
      opened: the archive as the library opened it.
    """

    def __init__(self, opened: zipfile.ZipFile):
        self._opened = opened
        self._left = MAX_TOTAL_BYTES
        self.problems: list[Problem] = []
        self.files: dict[str, zipfile.ZipInfo] = {}
        folded: dict[str, str] = {}
        for info in opened.infolist():
            name = info.filename
            if problem := _judge_entry(info):
                self.problems.append(problem)
            elif not info.is_dir():
                other = folded.setdefault(name.casefold(), name)
                if name in self.files or other != name:
                    text = f"has the same name as another file: {other}"
                    self.problems.append(Problem("duplicate", name, text))
                else:
                    self.files[name] = info

    def read(self, name: str) -> str | Problem:
        """Reads the text of a file; returns a problem if it cannot be read."""
        limit, raw = min(MAX_FILE_BYTES, self._left), bytearray()
        text = f"expected at most {MAX_FILE_BYTES} bytes in a file and "
        text += f"{MAX_TOTAL_BYTES} in all, got more"
        if not limit:
            return Problem("size", name, text)
        try:
            with self._opened.open(self.files[name]) as file:
                while piece := file.read(_PIECE_BYTES):
                    raw += piece
                    if len(raw) > limit:
                        return Problem("size", name, text)
        except DAMAGE as error:
            return Problem("damaged", name, f"cannot be read: {error}")
        finally:
            # What was read of a file with a problem counts too.
            self._left = max(self._left - len(raw), 0)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            return Problem("encoding", name, "expected UTF-8, got other bytes")
        if text.startswith("\ufeff"):
            return Problem("encoding", name, "begins with a byte order mark")
        return text


@contextmanager
def open_archive(path: str | os.PathLike) -> Iterator[Archive]:
    """Opens an archive.

    Raises:
      DataFormatError: if the file is no archive, or if its list of files is too long.
    """
    if not Path(path).is_file():
        raise DataFormatError(f"{path}: expected a zip archive, found no file.")
    with _BoundedFile(path) as file:
        try:
            opened = zipfile.ZipFile(file)
            if len(opened.filelist) > MAX_FILES:
                raise zipfile.BadZipFile(f"one with more than {MAX_FILES} files")
        except DAMAGE as error:
            raise format_error(
                path, "archive", expected="a zip archive", got=f"{error}"
            ) from error
        with opened:
            yield Archive(opened)


def _judge_entry(info: zipfile.ZipInfo) -> Problem | None:
    """Says what is wrong with an entry in any profile; `None` if nothing is wrong."""
    # The library turns `\` into `/` only on Windows, and cuts names at a zero byte.
    name = info.orig_filename
    parts = name.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\\\0:]", name):
        return Problem("outside", name, "leads out of the archive, or is not a path")
    for part in map(str.casefold, parts):
        if part.startswith(".") or part in _HIDDEN:
            return Problem("hidden", name, "is no prediction; leave it out")
    if stat.S_ISLNK(info.external_attr >> 16):
        return Problem("link", name, "is a link, expected a file")
    if info.flag_bits & _ENCRYPTED:
        return Problem("encrypted", name, "is encrypted")
    if info.compress_type not in _METHODS:
        return Problem("compression", name, "expected stored or deflated bytes")
    return None
