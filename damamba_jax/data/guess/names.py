"""Finds the pattern, with fields, of the names of files that belong together.

A name is split into cells. These are its folders, and the parts of the file's name
between dots, dashes, underscores and spaces. Cells that differ between files become
fields of the pattern.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from damamba_jax.data.formats.suffixes import KEYPOINTS
from damamba_jax.data.guess import words

_SEPARATOR = re.compile(r"([._\- ]+)")
_NUMBERED = re.compile(r"([A-Za-z]+[_-]?)(\d+)")
# If more names than this occur, they are not the names of people in a conversation.
MAX_ROLES = 24


@dataclasses.dataclass(frozen=True)
class Name:
    """The name of one file, split into cells.

    Args:
      path: names of its folders, and the file's own name.
      folders: number of cells that are folders.
      cells: names of folders, then the parts of the file's name.
      separators: texts between the parts of the file's name.
      suffix: the rest of the file's name.
    """

    path: tuple[str, ...]
    folders: int
    cells: tuple[str, ...]
    separators: tuple[str, ...]
    suffix: str

    @property
    def shape(self) -> tuple:
        """Properties that all files of one pattern have in common."""
        return self.folders, self.separators, self.suffix.lower()


def parse(path: tuple[str, ...]) -> Name:
    """Splits a file's name into cells."""
    file = path[-1]
    dot = file.rfind(".")
    cut = dot if dot > 0 else len(file)
    if file.lower().endswith(KEYPOINTS):
        cut = len(file) - len(KEYPOINTS)
    parts = _SEPARATOR.split(file[:cut])
    cells = (*path[:-1], *parts[::2])
    return Name(path, len(path) - 1, cells, tuple(parts[1::2]), file[cut:])


@dataclasses.dataclass(frozen=True)
class Known:
    """The knowledge about names before a pattern is made.

    Args:
      roles: names of participants, in lower case.
      sessions: names of sessions, in lower case.
      prefix: letters, in lower case, that some names have before a session's number.
      single: whether there is only one session, whose name is a folder of all files.
      told: fields that columns give, so that names need not contain them.
      rest: the field for a part with no other meaning: `stem`, or `rater` in
        annotations.
    """

    roles: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    prefix: str = ""
    single: bool = False
    told: frozenset[str] = frozenset()
    rest: str = "stem"


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A pattern, and the values of its fields in each file.

    Args:
      text: the pattern in the form that `data.layout` takes.
      fields: the values of the fields for each file.
      literals: parts of the file's name that are the same in all files.
    """

    text: str
    fields: tuple[Mapping[str, str], ...]
    literals: tuple[str, ...]

    def values(self, field: str) -> list[str]:
        """Returns the different values of a field, in the order of the files.

        Values that differ only in upper and lower case count as the same.
        """
        found: dict[str, str] = {}
        for fields in self.fields:
            if field in fields:
                found.setdefault(fields[field].lower(), fields[field])
        return list(found.values())


def make_pattern(names: Sequence[Name], known: Known) -> Pattern:
    """Gives a field to each cell that differs between files of one shape."""
    first = names[0]
    columns = [[name.cells[i] for name in names] for i in range(len(first.cells))]
    open_cells = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    found: dict[int, str] = {}
    prefixes: dict[int, str] = {}

    def give(field: str, cell: int) -> None:
        found[cell] = field
        open_cells.remove(cell)

    if first.suffix.lower() == KEYPOINTS:
        if len(first.cells) - 1 in open_cells:
            give("frame", len(first.cells) - 1)
    for cell in [*open_cells]:
        column = columns[cell]
        if cell < first.folders and "split" not in found.values():
            if all(map(words.SPLITS.fullmatch, column)):
                give("split", cell)
        elif cell >= first.folders and "turn" not in found.values():
            prefix = words.turn_prefix(column)
            if prefix is not None and not _are(column, known.sessions):
                give("turn", cell)
                prefixes[cell] = prefix
    for cell in _cells_of_people(columns, open_cells, known):
        give("role", cell)
    for cell in _cells_of_sessions(columns, first, open_cells, known, found):
        give("session", cell)
        letters = _letters(columns[cell])
        if known.prefix and letters.lower() == known.prefix:
            prefixes[cell] = letters
    for cell in [*open_cells]:
        # `monday/monday_ann.csv` names its session twice.
        same = [i for i in found if columns[i] == columns[cell]]
        if same:
            give(found[same[0]], cell)
            prefixes.update((cell, prefixes[i]) for i in same if i in prefixes)
    for cell in [*open_cells]:
        taken = set(found.values()) | known.told
        if cell < first.folders:
            if "split" in taken and "role" in taken:
                continue
            give("role" if "role" not in taken and "split" in taken else "split", cell)
        elif "role" not in taken and not all(map(words.is_stem, columns[cell])):
            give("role", cell)
        elif known.rest not in taken:
            give(known.rest, cell)
    if known.single and "session" not in {*found.values(), *known.told}:
        # There is a single session. Its folder is the last one that is not a field.
        free = [i for i in range(first.folders) if i not in found]
        if free:
            found[free[-1]] = "session"
    return _build(names, found, prefixes)


def _letters(column: Sequence[str]) -> str:
    """Returns the letters before the number in all values; empty if they differ."""
    matches = [_NUMBERED.fullmatch(value) for value in column]
    found = {match[1] if match else "" for match in matches}
    return found.pop() if len(found) == 1 else ""


def bare_numbers(values: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the common letters before numbers, in lower case, and the numbers."""
    letters = _letters(values) if values else ""
    return letters.lower(), [value[len(letters) :] for value in values]


def _are(column: Sequence[str], values: frozenset[str]) -> bool:
    return bool(values) and all(value.lower() in values for value in column)


def _cells_of_people(
    columns: Sequence[Sequence[str]], cells: Sequence[int], known: Known
) -> list[int]:
    """Finds the cell that names participants, by known names or by usual words."""
    if "role" in known.told:
        return []
    for tells in (
        lambda column: _are(column, known.roles),
        lambda column: all(map(words.is_role, column)),
    ):
        for cell in reversed(cells):
            if tells(columns[cell]):
                return [cell]
    return []


def _cells_of_sessions(
    columns: Sequence[Sequence[str]],
    name: Name,
    cells: Sequence[int],
    known: Known,
    found: Mapping[int, str],
) -> list[int]:
    """Finds the cells that name the session: a folder, or parts next to each other."""
    if "session" in known.told:
        return []
    folders = [i for i in cells if i < name.folders]
    parts = [i for i in cells if i >= name.folders]
    has_role = "role" in found.values() or "role" in known.told
    for cell in cells:
        if _are(columns[cell], known.sessions):
            return [cell]
    if folders:
        if len(folders) > 1 and not has_role and not parts:
            outer, inner = columns[folders[-2]], columns[folders[-1]]
            # In `{session}/{role}/...` every folder has the same few names.
            if _repeats(inner, outer) and not _repeats(outer, inner):
                return [folders[-2]]
        return [folders[-1]]
    runs = _runs(parts)
    if not runs:
        return []
    if len(runs) == 1 and len(runs[0]) > 1 and not has_role:
        # The name is `{session}_{role}` or `{role}_{session}`.
        first, *_, last = runs[0]
        sessions = [all(map(words.is_session, columns[i])) for i in (first, last)]
        fewer = len(set(columns[first])) < len(set(columns[last]))
        if sessions == [False, True] or (sessions[0] == sessions[1] and fewer):
            return runs[0][1:]
        return runs[0][:-1]
    stems = [all(map(words.is_stem, columns[run[0]])) for run in runs]
    plain = [run for run, is_stem in zip(runs, stems, strict=True) if not is_stem]
    chosen = (plain or runs)[0]
    if has_role or len(plain) < 2:
        while len(chosen) > 1 and all(map(words.is_stem, columns[chosen[-1]])):
            chosen = chosen[:-1]
    return chosen


def _repeats(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Says whether most inner names occur in several outer folders."""
    pairs = set(zip(inner, outer, strict=True))
    return len(pairs) >= 1.5 * len(set(inner)) and len(set(inner)) <= MAX_ROLES


def _runs(cells: Sequence[int]) -> list[list[int]]:
    """Groups cells that are next to each other."""
    runs: list[list[int]] = []
    for cell in cells:
        if runs and runs[-1][-1] == cell - 1:
            runs[-1].append(cell)
        else:
            runs.append([cell])
    return runs


def _build(
    names: Sequence[Name], found: Mapping[int, str], prefixes: Mapping[int, str]
) -> Pattern:
    first = names[0]
    literals: list[str] = []
    pieces: list[str] = []
    for i, cell in enumerate(first.cells):
        if i not in found:
            literals += [cell] * (i >= first.folders)
            pieces.append(cell.replace("{", "{{").replace("}", "}}"))
        elif _joined(first, found, i):
            pieces.append("")  # One field stands for several cells.
        else:
            pieces.append(f"{prefixes.get(i, '')}{{{found[i]}}}")
    text = "/".join(pieces[: first.folders])
    file = pieces[first.folders]
    for i, separator in enumerate(first.separators, first.folders + 1):
        file += (separator if not _joined(first, found, i) else "") + pieces[i]
    suffix = first.suffix.replace("{", "{{").replace("}", "}}")
    text = f"{text}/{file}{suffix}" if text else f"{file}{suffix}"
    fields = tuple(_fields(name, found, prefixes) for name in names)
    return Pattern(text, fields, tuple(literals))


def _joined(name: Name, found: Mapping[int, str], cell: int) -> bool:
    """Says whether a cell continues the field of the cell before it."""
    same = cell in found and found.get(cell - 1) == found[cell]
    return same and cell > name.folders


def _fields(
    name: Name, found: Mapping[int, str], prefixes: Mapping[int, str]
) -> dict[str, str]:
    fields: dict[str, str] = {}
    for cell in sorted(found):
        value = name.cells[cell][len(prefixes.get(cell, "")) :]
        field = found[cell]
        if field in fields and not _joined(name, found, cell):
            continue
        if field in fields:
            value = fields[field] + name.separators[cell - name.folders - 1] + value
        fields[field] = value
    return fields
