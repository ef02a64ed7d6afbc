"""Names of files that belong together -> a pattern with fields.

The cells of a name are its folders, and the parts of the file's name between dots,
dashes, underscores and spaces. Cells that differ between files get a field.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from damamba_jax.data.formats.suffixes import KEYPOINTS
from damamba_jax.data.guess import words

_SEPARATOR = re.compile(r"([._\- ]+)")
_NUMBERED = re.compile(r"([A-Za-z]+[_-]?)(\d+)")
# More people than that in one conversation are names that mean something else.
MAX_ROLES = 24


@dataclasses.dataclass(frozen=True)
class Name:
    """One file's name in cells.

    Args:
      path: names of its folders, and its own.
      folders: how many of the cells are folders.
      cells: folders, then parts of the file's name.
      separators: between the parts of the file's name.
      suffix: the rest of the name.
    """

    path: tuple[str, ...]
    folders: int
    cells: tuple[str, ...]
    separators: tuple[str, ...]
    suffix: str

    @property
    def shape(self) -> tuple:
        """What files of one pattern have in common."""
        return self.folders, self.separators, self.suffix.lower()


def parse(path: tuple[str, ...]) -> Name:
    """Splits a file's name."""
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
    """What is known about names before a pattern is made.

    Args:
      roles: participants, in lower case.
      sessions: in lower case.
      prefix: letters that some names put in front of a session's number, lower case.
      single: no name holds a session, so that a folder that never differs is one.
      told: fields that columns tell, so that names need not hold them.
      rest: field of a part that nothing explains: `stem`, or `rater` of annotations.
    """

    roles: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    prefix: str = ""
    single: bool = False
    told: frozenset[str] = frozenset()
    rest: str = "stem"


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A pattern, and what its fields are in each file.

    Args:
      text: as `data.layout` takes it.
      fields: for each file the values of the fields.
      literals: parts of the file's name that never differ.
    """

    text: str
    fields: tuple[Mapping[str, str], ...]
    literals: tuple[str, ...]

    def values(self, field: str) -> list[str]:
        """Values of a field, each once in any case, in the order of the files."""
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
    for cell in _cells_of_people(columns, first, open_cells, known):
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
        # A single session: its folder is the last one that is no participant.
        free = [i for i in range(first.folders) if i not in found]
        if free:
            found[free[-1]] = "session"
    return _build(names, found, prefixes)


def _letters(column: Sequence[str]) -> str:
    """The letters that stand in front of a number in all values; else nothing."""
    matches = [_NUMBERED.fullmatch(value) for value in column]
    found = {match[1] if match else "" for match in matches}
    return found.pop() if len(found) == 1 else ""


def bare_numbers(values: Sequence[str]) -> tuple[str, list[str]]:
    """Common letters in front of numbers, in lower case, and the numbers."""
    letters = _letters(values) if values else ""
    return letters.lower(), [value[len(letters) :] for value in values]


def _are(column: Sequence[str], values: frozenset[str]) -> bool:
    return bool(values) and all(value.lower() in values for value in column)


def _cells_of_people(
    columns: Sequence[Sequence[str]],
    name: Name,
    cells: Sequence[int],
    known: Known,
) -> list[int]:
    """The cell that names participants, if words or other files tell."""
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
    """The cells that name the session: a folder, or parts that follow each other."""
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
            # `{session}/{role}/...`: the same few names in every folder.
            if _repeats(inner, outer) and not _repeats(outer, inner):
                return [folders[-2]]
        return [folders[-1]]
    runs = _runs(parts)
    if not runs:
        return []
    if len(runs) == 1 and len(runs[0]) > 1 and not has_role:
        # `{session}_{role}`, or the other way round.
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
    """Whether most inner names come in several outer ones."""
    pairs = set(zip(inner, outer, strict=True))
    return len(pairs) >= 1.5 * len(set(inner)) and len(set(inner)) <= MAX_ROLES


def _runs(cells: Sequence[int]) -> list[list[int]]:
    """Groups of cells that follow each other."""
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
            pieces.append("")  # one field for several cells
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
    """Whether a cell continues the field of the one before it."""
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
