"""Opens some files, and groups those with the same shape of name and columns."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from damamba_jax.data.formats.suffixes import KEYPOINTS, is_readable
from damamba_jax.data.guess import contents, names, words
from damamba_jax.data.guess.clusters import Cluster
from damamba_jax.data.guess.column_search import find_columns
from damamba_jax.data.guess.columns import Columns
from damamba_jax.data.guess.contents import Content
from damamba_jax.data.guess.names import Known, Name
from damamba_jax.errors import DataFormatError

# At most so many files are opened in all, and for each shape of name.
MAX_OPENED = 600
MAX_OPENED_EACH = 120
# At most so many tables of a cluster are used to find the meaning of its columns.
_MAX_TABLES = 24


def open_files(
    root: Path, paths: Iterable[tuple[str, ...]], notes: list[str]
) -> list[tuple[Name, Content]]:
    """Opens some files of each shape of name, evenly chosen.

    Args:
      root: the folder.
      paths: names of the files below the folder.
      notes: gets a sentence about files that were not opened, and one about files that
        cannot be read.
    """
    shapes: dict[tuple, list[Name]] = defaultdict(list)
    frames: dict[tuple, list[Name]] = defaultdict(list)
    for path in paths:
        if not is_readable(path[-1]):
            continue
        name = names.parse(path)
        if name.suffix.lower() == KEYPOINTS:
            frames[name.cells[:-1]].append(name)
        else:
            shapes[name.shape].append(name)
    found = [pair for series in frames.values() for pair in _frames(series)]
    each = max(1, min(MAX_OPENED_EACH, MAX_OPENED // max(len(shapes), 1)))
    unread: list[str] = []
    skipped = 0
    for series in shapes.values():
        chosen = series[:: 1 + (len(series) - 1) // each]
        skipped += len(series) - len(chosen)
        for name in chosen:
            try:
                content = contents.read_content(root.joinpath(*name.path))
            except (DataFormatError, OSError) as error:
                unread.append(f"{'/'.join(name.path)!r} ({type(error).__name__})")
                continue
            if content is not None:
                found.append((name, content))
    if skipped:
        notes.append(f"{skipped} files were not opened, since they look like others.")
    if unread:
        notes.append(f"{len(unread)} files cannot be read, such as {unread[0]}.")
    return found


def _frames(series: Sequence[Name]) -> list[tuple[Name, Content]]:
    """Takes the first and the last file of a recording with a file for each frame."""
    last = series[-1].cells[-1]
    rows = int(last) + 1 if last.isdigit() and len(last) < 16 else len(series)
    content = Content("openpose", rows=rows)
    return [(name, content) for name in dict.fromkeys((series[0], series[-1]))]


def group(files: Iterable[tuple[Name, Content]]) -> list[Cluster]:
    """Groups files, and finds out what their names and columns mean.

    Names explain columns, and columns explain names. The files are therefore looked at
    three times, each time with what was found before.
    """
    series: dict[tuple, list[tuple[Name, Content]]] = defaultdict(list)
    for name, content in files:
        series[name.shape, content.schema].append((name, content))
    known = Known()
    found: list[Cluster] = []
    for _ in range(3):
        found = [_cluster(pairs, known) for pairs in series.values()]
        known = _learn(found, known.prefix)
        if not known.sessions and not any(c.columns.session for c in found):
            known = dataclasses.replace(known, single=True)
    return found


def _cluster(pairs: Sequence[tuple[Name, Content]], known: Known) -> Cluster:
    file_names, shown = zip(*pairs, strict=True)
    kind = shown[0].kind
    plain = names.make_pattern(file_names, known)
    parts = Columns()
    if kind == "table":
        some = shown[:: 1 + (len(shown) - 1) // _MAX_TABLES]
        texts = [*plain.literals, *plain.text.split("/")[:-1]]
        parts = find_columns(
            some,
            known,
            about_turns=any(words.says(t, ("turn", "turns")) for t in texts),
        )
    labelled = kind in ("nova", "eaf", "lines") or any(
        words.says(text, words.LABEL) for text in plain.literals
    )
    told = parts.told | ({"role", "rater"} if kind == "eaf" else frozenset())
    pattern = names.make_pattern(
        file_names,
        dataclasses.replace(known, told=told, rest="rater" if labelled else "stem"),
    )
    return Cluster(tuple(file_names), tuple(shown), pattern, parts)


def _learn(clusters: Sequence[Cluster], prefix: str) -> Known:
    """Collects the participants and sessions that the clusters name.

    Args:
      clusters: the clusters as they are understood so far.
      prefix: letters in front of a session's number, if they are known.
    """
    roles: set[str] = set()
    sessions: set[str] = set()
    for cluster in clusters:
        people = [*cluster.columns.people, *cluster.pattern.values("role")]
        if 1 < len(people) <= names.MAX_ROLES:
            roles |= {value.lower() for value in people}
        sessions |= {value.lower() for value in cluster.pattern.values("session")}
    # A session may be called `P7` in some files and `7` in others.
    for cluster in clusters:
        letters, numbers = names.bare_numbers(cluster.pattern.values("session"))
        if letters and len(sessions.intersection(numbers)) > len(numbers) // 2:
            prefix = letters
    return Known(
        roles=frozenset(roles - sessions),
        sessions=frozenset(sessions),
        prefix=prefix,
    )
