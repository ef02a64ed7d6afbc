"""Files that were found for one split, by session and role."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.data.corpus.patterns import Match


class Found:
    """Files by the session and role in their names.

    A file whose name has no session belongs to all sessions, and a file whose name has
    no role belongs to all roles. If several files have the same fields, the first one
    counts.
    """

    def __init__(self, matches: Iterable[Match] = ()):
        self._files: dict[tuple[str, str], dict[tuple, Match]] = {}
        self.add(matches)

    def add(self, matches: Iterable[Match]) -> None:
        """Adds files after those that are already there."""
        for match in matches:
            fields = match.fields
            key = (fields.get("session", ""), fields.get("role", ""))
            same = tuple(sorted(fields.items()))
            self._files.setdefault(key, {}).setdefault(same, match)

    def __bool__(self) -> bool:
        return bool(self._files)

    @property
    def sessions(self) -> frozenset[str]:
        """Sessions that the names of the files contain."""
        return frozenset(session for session, _ in self._files if session)

    def of(self, session: str, role: str) -> tuple[Match, ...]:
        """Returns the files of one person; files of that person alone come first."""
        keys = ((session, role), (session, ""), ("", role), ("", ""))
        return tuple(m for key in keys for m in self._files.get(key, {}).values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """The files of one split, before any of them is opened.

    Args:
      layout: the layout by which the files were found.
      split: name of the split's folder.
      streams: header files by session, by role, and by stem in lower case.
      tables: files of each feature that lies in tables.
      labels: label files.
      turns: tables of turns.
      seats: roles that took part, by session. In a session that is not named, or if
        `seats` is `None`, all roles with files took part.
      roots: resolved folders outside of which nothing is read.
      labels_expected: whether a person without annotation is reported.
    """

    layout: LayoutConfig
    split: str
    streams: Mapping[str, Mapping[str, Mapping[str, Path]]]
    tables: Mapping[str, Found]
    labels: Found
    turns: Found
    seats: Mapping[str, frozenset[str]] | None
    roots: tuple[Path, ...]
    labels_expected: bool = True

    @property
    def name(self) -> str:
        """Name of the split, `corpus/folder`."""
        return f"{self.layout.name}/{self.split}"

    @property
    def sessions(self) -> list[str]:
        """Sessions with at least one feature, in the order of their names."""
        found = [frozenset(self.streams), *(t.sessions for t in self.tables.values())]
        return sorted(frozenset().union(*found))

    def fields(self, session: str, role: str) -> dict[str, str]:
        """Returns the fields of patterns that are known for one person."""
        return {"split": self.split, "session": session, "role": role}
