"""Finds the recordings of each person in each session.

A file `SESSION/ROLE.wav` or `SESSION/ROLE.mp4` is a recording of one person. So are
`SESSION/ROLE.audio.wav` and `SESSION/ROLE.video.mp4`, which are the names in the
releases. Folders above a session, such as splits, are kept. Hidden files, and links
that lead out of the input, are not read.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from damamba_jax.data.corpus.patterns import is_inside
from damamba_jax.errors import CorpusError, printable

_log = logging.getLogger(__name__)

SOUND = (
    ".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".aif", ".aiff",
    ".wma",
)  # fmt: skip
VIDEO = (
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".mts", ".wmv",
)  # fmt: skip
# MPIIGroupInteraction has a folder of this name between a split and its sessions.
_BETWEEN = "originalaudiovideo"


class Person(NamedTuple):
    """One person of a session, and their recordings.

    Attributes:
      folder: folder of the session, relative to the input.
      role: the person's name in the names of files.
      sound: a file of sound alone, if there is one.
      video: a file with pictures, and perhaps with sound.
    """

    folder: Path
    role: str
    sound: Path | None = None
    video: Path | None = None

    def source(self, medium: Literal["sound", "video"]) -> Path | None:
        """Returns the file to read; if there is no file of sound, that of the video."""
        return self.video if medium == "video" else self.sound or self.video


def find_people(root: Path) -> list[Person]:
    """Finds everybody who was recorded, in the order of sessions and roles.

    Args:
      root: a corpus, a session, or one recording.

    Raises:
      CorpusError: if there are no recordings.
    """
    root = root.resolve(strict=True)
    found: dict[tuple[Path, str], Person] = {}
    for path in _walk(root):
        medium = _medium(path)
        if not medium:
            continue
        role = path.stem
        for ending in (".audio", ".video"):
            role = role[: -len(ending)] if role.lower().endswith(ending) else role
        key = (_session(path, root), role)
        person = found.get(key, Person(*key))
        if getattr(person, medium) is not None:
            _log.warning(
                "%s: it is left out, because %s is read.",
                printable(str(path)), printable(getattr(person, medium).name),
            )  # fmt: skip
            continue
        found[key] = person._replace(**{medium: path})
    if not found:
        raise CorpusError(
            f"`--input`: expected recordings such as SESSION/ROLE.wav or "
            f"SESSION/ROLE.mp4, got none in {root}. The suffixes "
            f"{' '.join(SOUND + VIDEO)} are known."
        )
    return [found[key] for key in sorted(found)]


def _walk(root: Path) -> Iterator[Path]:
    """Lists the files that may be read, in the same order in every run."""
    if root.is_file():
        yield root
        return
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or not _medium(path):
                continue
            if not is_inside(path, root):
                _log.warning(
                    "%s: is a link out of %s, and was ignored.",
                    printable(str(path)),
                    root,
                )
            elif path.is_file():
                yield path


def _medium(path: Path) -> str:
    """Returns the medium of a file, a field of `Person`; empty for other files."""
    ending = path.suffix.lower()
    return "sound" if ending in SOUND else "video" if ending in VIDEO else ""


def _session(path: Path, root: Path) -> Path:
    """Returns the folder of a session, relative to the input.

    If the file lies in the input itself, this is the name of the input.
    """
    if path.parent == root or path == root:
        return Path(path.parent.name)
    parts = path.parent.relative_to(root).parts
    return Path(*(part for part in parts if not part.lower().startswith(_BETWEEN)))
