"""Checks of an archive: names, counts, values and lengths, as a profile wants them."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from damamba_jax.errors import DataFormatError, nearest
from damamba_jax.reporting.table import Table
from damamba_jax.schema.release import ANNOTATIONS
from damamba_jax.submission.archive import Frames
from damamba_jax.submission.profiles import PROFILES, Profile, TestSet
from damamba_jax.submission.reading import Archive, Problem, open_archive
from damamba_jax.submission.values import Lines, judge_lines

# Largest number of problems of one kind that are listed.
_LISTED = 8


class _Place(NamedTuple):
    """The person and the annotation that a file belongs to."""

    session: str
    role: str
    annotation: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The result of checking an archive.

    Args:
      profile: name of the profile that the archive was checked against.
      rows: cells of the table, one row for each set.
      problems: all problems, sorted by kind; without any the archive is accepted.
    """

    profile: str
    rows: tuple[tuple[str, ...], ...]
    problems: tuple[Problem, ...]

    @property
    def table(self) -> Table:
        """The table of the sets."""
        return Table(
            title=f"Archive for {self.profile}",
            columns=("set", "sessions", "people", "files", "lines", "values"),
            rows=self.rows,
            names=("set", "sessions", "people", "files", "values"),
        )

    def lines(self) -> list[str]:
        """Writes one line for each problem; of many of one kind, only the first."""
        told: Counter[str] = Counter()
        lines = []
        totals = Counter(problem.kind for problem in self.problems)
        for problem in self.problems:
            told[problem.kind] += 1
            if told[problem.kind] <= _LISTED:
                lines.append(f"{problem}.")
            elif told[problem.kind] == totals[problem.kind]:
                rest = totals[problem.kind] - _LISTED
                lines.append(f"... and {rest} more of this kind: {problem.kind}.")
        return lines


def check_archive(
    path: str | os.PathLike,
    profile: Profile,
    *,
    folders: Sequence[str] = (),
    frames: Frames | None = None,
) -> Report:
    """Checks an archive, which may come from somebody who is not trusted.

    Args:
      path: path of the archive; it is not unpacked to disk.
      profile: profile with the names and counts that are expected.
      folders: folders of the sets that are expected; empty means all of the profile.
      frames: number of lines for each person who is scored; for sets without an entry,
        lengths are not checked.

    Raises:
      UsageError: if the profile has no set with one of the folders.
    """
    sets = profile.choose(folders)
    try:
        with open_archive(path) as archive:
            check = _Check(archive, profile, sets, frames or {})
            rows = tuple(check.row(one) for one in sets)
    except DataFormatError as error:
        problem = Problem("archive", "", f"{error}".removesuffix("."))
        return Report(profile=profile.name, rows=(), problems=(problem,))
    order = list(dict.fromkeys(problem.kind for problem in check.problems))
    problems = sorted(check.problems, key=lambda problem: order.index(problem.kind))
    return Report(profile=profile.name, rows=rows, problems=tuple(problems))


class _Check:
    """One check of an archive; its arguments are like those of `check_archive`."""

    def __init__(
        self,
        archive: Archive,
        profile: Profile,
        sets: Sequence[TestSet],
        frames: Frames,
    ):
        self._archive, self._profile, self._frames = archive, profile, frames
        self.problems = list(archive.problems)
        self._found: dict[str, dict[_Place, Lines]] = {one.folder: {} for one in sets}
        by_folder = {one.folder: one for one in sets}
        self._around = _folder_around(archive.files, by_folder)
        if self._around:
            text = "expected the folders of the sets at the top, got one more around"
            self.problems.append(Problem("folder", self._around, f"{text} them"))
        for name in archive.files:
            name = name.removeprefix(self._around)
            folder, *rest = name.split("/")
            test_set = by_folder.get(folder)
            if test_set is None or len(rest) != 2:
                self.problems.append(_misplaced(name, by_folder))
                continue
            place = self._place(name, test_set)
            if isinstance(place, Problem):
                self.problems.append(place)
                continue
            self._read(name, place, test_set)

    def row(self, test_set: TestSet) -> tuple[str, ...]:
        """Checks a set as a whole, and returns the cells of its row."""
        found = self._found[test_set.folder]
        sessions = {place.session for place in found}
        people = {(place.session, place.role) for place in found}
        wanted = len(test_set.annotations)
        counts = (
            ("sessions", len(sessions), test_set.sessions),
            ("people", len(people), test_set.people),
        )
        if not found:
            self.problems.append(Problem("missing", test_set.folder, "is not there"))
        else:
            self.problems += self._missing(test_set, people)
            self.problems += [
                Problem("count", test_set.folder, f"expected {want} {what}, got {got}")
                for what, got, want in counts
                if got != want
            ]
        total = sum(lines.num_lines for lines in found.values())
        values = Lines.range_of(found.values())
        return (
            test_set.folder,
            *(f"{got} of {want}" for _, got, want in counts),
            f"{len(found)} of {wanted * test_set.people}",
            str(total),
            values,
        )

    def _place(self, name: str, test_set: TestSet) -> _Place | Problem:
        """Finds the person and the annotation that the name of a file stands for."""
        _, session, file = name.split("/")
        for annotation in test_set.annotations:
            for role in test_set.layout.roles:
                if file != self._profile.file_name(role, annotation):
                    continue
                if role not in test_set.roles:
                    return Problem("role", name, f"{role} is a robot and not scored")
                return _Place(session, role, annotation)
        for other in PROFILES.values():
            for annotation in test_set.annotations:
                names = [other.file_name(r, annotation) for r in test_set.layout.roles]
                if file in names:
                    wanted = self._profile.file_name("{role}", annotation)
                    text = f"is a name of {other.name}, expected {wanted}"
                    return Problem("file name", name, text)
        known = [
            self._profile.file_name(role, annotation)
            for role in test_set.roles
            for annotation in test_set.annotations
        ]
        return Problem(
            "file name", name, f"unknown file{nearest(file[:99], known)}"[:-1]
        )

    def _read(self, name: str, place: _Place, test_set: TestSet) -> None:
        """Checks the lines of a file."""
        text = self._archive.read(self._around + name)
        if isinstance(text, Problem):
            self.problems.append(text)
            lines = Lines(0)
        else:
            lines, problem = judge_lines(text, ANNOTATIONS[place.annotation])
            if problem:
                kind, said = problem
                self.problems.append(Problem(kind, name, said))
            wanted = self._frames.get((test_set.split, place.session, place.role))
            if wanted is not None and lines.num_lines != wanted:
                said = f"expected {wanted} lines, the frames of the corpus, got "
                self.problems.append(Problem("lines", name, f"{said}{lines.num_lines}"))
        self._found[test_set.folder][place] = lines

    def _missing(
        self, test_set: TestSet, people: set[tuple[str, str]]
    ) -> Iterator[Problem]:
        """Yields problems of people: missing files, and people not in the corpus."""
        found = self._found[test_set.folder]
        known = {
            (session, role)
            for split, session, role in self._frames
            if split == test_set.split
        }
        everybody = set(known)
        if not known and test_set.people == test_set.sessions * len(test_set.roles):
            everybody = {(s, role) for s, _ in people for role in test_set.roles}
        for session, role in sorted(everybody | people):
            if known and (session, role) not in known:
                text = "is not a person of this set in the corpus"
                name = f"{test_set.folder}/{session}/{role}"
                yield Problem("stranger", name, text)
                continue
            places = [_Place(session, role, a) for a in test_set.annotations]
            for place in places:
                if place not in found:
                    name = self._profile.path(test_set, *place)
                    yield Problem("missing", name, "is not there")
            counts = {found[place].num_lines for place in places if place in found}
            if len(counts) > 1:
                name = f"{test_set.folder}/{session}/{role}"
                text = f"its files have {' and '.join(map(str, sorted(counts)))} lines"
                yield Problem("lines", name, text)


def _folder_around(names: Mapping[str, object], known: Mapping[str, object]) -> str:
    """Returns the single folder that holds all others, if there is one; else empty."""
    tops = {name.partition("/")[0] for name in names}
    seconds = {name.split("/")[1] for name in names if name.count("/") > 1}
    if len(tops) == 1 and not tops & known.keys() and seconds & known.keys():
        return f"{tops.pop()}/"
    return ""


def _misplaced(name: str, known: Mapping[str, object]) -> Problem:
    """Says what is wrong with the folders of a file."""
    folder = name.partition("/")[0]
    if folder in known:
        return Problem("folder", name, "expected SET/SESSION/FILE")
    if "/" not in name:
        return Problem("folder", name, "expected SET/SESSION/FILE, got a file alone")
    hint = nearest(folder[:99], known).removesuffix(".")
    return Problem("folder", name, f"unknown set {folder!r}{hint}")
