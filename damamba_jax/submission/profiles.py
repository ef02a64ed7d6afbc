"""Profiles of the challenges' archives: folders, names and numbers of files.

An archive holds files `FOLDER/SESSION/ROLE.ANNOTATION...csv`, with one line for each
frame. The organisers' own scripts of 2026 disagree about the names of files, so each
script has a profile.
"""

import dataclasses
from collections.abc import Sequence

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.data.corpus.releases import RELEASES
from damamba_jax.errors import UsageError, nearest
from damamba_jax.metrics.challenge import Part
from damamba_jax.schema.release import ANNOTATIONS

_HEADS = tuple(name for name, classes in ANNOTATIONS.items() if classes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestSet:
    """One test set of the challenge.

    Args:
      folder: folder of the set in the archive.
      split: split of the set in the corpus.
      sessions: number of sessions.
      people: number of people who are scored in all sessions together.
      annotations: annotations that are predicted for each person.
    """

    # Despite its name, this class is not a test, which pytest has to know.
    __test__ = False

    folder: str
    split: str
    sessions: int
    people: int
    annotations: tuple[str, ...] = ("engagement",)

    @property
    def layout(self) -> LayoutConfig:
        """The layout of the release that the set belongs to."""
        corpus, _, folder = self.split.partition("/")
        layouts = (layout for release in RELEASES for layout in release.layouts)
        return next(
            one for one in layouts if one.name == corpus and folder in one.splits
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that may be scored; not every session has all of them."""
        layout = self.layout
        return tuple(role for role in layout.roles if role not in layout.partner_roles)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts that are scored: the set with each of its annotations."""
        return tuple(Part(self.split, name) for name in self.annotations)


SETS = (
    TestSet(folder="noxi-base", split="noxi/test-base", sessions=16, people=32),
    TestSet(
        folder="noxi-additional", split="noxi/test-additional", sessions=12, people=24
    ),
    TestSet(folder="noxi-j", split="noxi-j/test", sessions=10, people=20),
    TestSet(
        folder="mpiigroupinteraction",
        split="mpiigroupinteraction/test",
        sessions=6,
        # One of the six groups has three people.
        people=23,
    ),
    TestSet(
        folder="pinsoro-cc",
        split="pinsoro/test-cc",
        sessions=6,
        people=12,
        annotations=_HEADS,
    ),
    TestSet(
        folder="pinsoro-cr",
        split="pinsoro/test-cr",
        sessions=6,
        people=6,
        annotations=_HEADS,
    ),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The names that one reader of archives expects.

    Args:
      name: name of the profile on the command line.
      sets: test sets of an archive.
      value_ending: ending of names of files with values, after the role; it holds
        `{annotation}`.
      class_ending: ending of names of files with classes; empty if it is the same.
    """

    name: str
    sets: tuple[TestSet, ...]
    value_ending: str
    class_ending: str = ""

    def choose(self, folders: Sequence[str]) -> tuple[TestSet, ...]:
        """Returns the sets with some folders; without folders, all sets.

        Raises:
          UsageError: if the profile has no set with one of the folders.
        """
        known = {one.folder: one for one in self.sets}
        for name in folders:
            if name not in known:
                raise UsageError(
                    f"`--sets`: the profile {self.name} has no set {name!r}"
                    f"{nearest(name, known)}"
                )
        return tuple(s for s in self.sets if not folders or s.folder in folders)

    def file_name(self, role: str, annotation: str) -> str:
        """Returns the name of one person's file."""
        ending = self.value_ending
        if ANNOTATIONS[annotation]:
            ending = self.class_ending or ending
        return f"{role}.{ending.format(annotation=annotation)}"

    def path(self, test_set: TestSet, session: str, role: str, annotation: str) -> str:
        """Returns the path of one person's file in an archive."""
        name = self.file_name(role, annotation)
        return f"{test_set.folder}/{session}/{name}"


_OF_2024 = tuple(
    one
    for one in SETS
    if one.folder in ("noxi-base", "noxi-additional", "mpiigroupinteraction")
)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name="mm24", sets=_OF_2024, value_ending="{annotation}.annotation.csv"),
        Profile(name="mm26", sets=SETS, value_ending="{annotation}.prediction.csv"),
        Profile(
            name="mm26-script4",
            sets=SETS,
            value_ending="{annotation}.prediction.csv",
            class_ending="{annotation}.engagement.prediction.csv",
        ),
        Profile(name="mm26-script5", sets=SETS, value_ending="{annotation}.pred.csv"),
    )
}
