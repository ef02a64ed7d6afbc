"""Lists the files below a folder, at most as many as can be listed in a moment."""

import itertools
import os
import stat
from collections import deque
from pathlib import Path
from typing import NamedTuple

# The largest number of names in all, of names in one folder, and of nested folders.
MAX_ENTRIES = 100_000
MAX_IN_FOLDER = 20_000
MAX_DEPTH = 6


class Seen(NamedTuple):
    """The files below a folder.

    Attributes:
      files: regular files, sorted by depth and name. Each is a tuple of the names of
        its folders and its own name.
      odd: pipes, devices and the like, in the same form.
      notes: sentences about links, folders and names that were passed over.
    """

    files: tuple[tuple[str, ...], ...]
    odd: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def look(root: Path) -> Seen:
    """Lists regular files; links are not followed, and hidden names are left out.

    Raises:
      OSError: if `root` itself cannot be read.
    """
    files: list[tuple[str, ...]] = []
    odd: list[tuple[str, ...]] = []
    count = {"links": 0, "deep": 0, "full": 0, "unreadable": 0}
    left = MAX_ENTRIES
    folders: deque[tuple[str, ...]] = deque([()])
    while folders:
        parts = folders.popleft()
        limit = min(left, MAX_IN_FOLDER)
        try:
            entries, is_cut = _entries(root.joinpath(*parts), limit)
        except OSError:
            if not parts:
                raise
            count["unreadable"] += 1
            continue
        left -= len(entries)
        count["full"] += is_cut
        for entry in entries:
            mode = _mode(entry)
            if entry.name.startswith("."):
                continue
            if stat.S_ISLNK(mode):
                count["links"] += 1
            elif stat.S_ISREG(mode):
                files.append((*parts, entry.name))
            elif not stat.S_ISDIR(mode):
                odd.append((*parts, entry.name))
            elif len(parts) >= MAX_DEPTH:
                count["deep"] += 1
            else:
                folders.append((*parts, entry.name))
        if is_cut and not left:
            break
    notes = _notes({**count, "odd": len(odd)})
    return Seen(tuple(files), tuple(odd), tuple(notes))


def _entries(folder: Path, limit: int) -> tuple[list[os.DirEntry], bool]:
    """Returns up to `limit` entries, and whether the folder has more."""
    with os.scandir(folder) as found:
        some = list(itertools.islice(found, limit + 1))
    return sorted(some[:limit], key=lambda entry: entry.name), len(some) > limit


def _mode(entry: os.DirEntry) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return 0


def _notes(count: dict[str, int]) -> list[str]:
    texts = {
        "links": "{} links were not followed.",
        "odd": "{} entries are neither files nor folders.",
        "deep": "{} folders lie too deep and were not looked at.",
        "unreadable": "{} folders cannot be read.",
    }
    notes = [texts[key].format(count[key]) for key in texts if count[key]]
    if count["full"]:
        notes.append(
            f"There are more than {MAX_ENTRIES:,} names, or more than "
            f"{MAX_IN_FOLDER:,} in one folder: not all were looked at."
        )
    return notes
