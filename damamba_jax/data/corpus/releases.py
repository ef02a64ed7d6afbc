"""Places where the files of the released corpora lie.

NoXi:
    noxi/{train,val,test-base,test-additional}/<session>/<role>.<stem>.stream
    and, beside it, <role>.engagement.annotation.csv
MPIIGroupInteraction, named so or mpii/MultiMediate25:
    {val,test}/precomputed-features-<split>/<session>/<role>.<stem>.stream
    {val,test}/engagement-annotations-<split>/<session>/<role>.engagement.annotation.csv
    or without the inner folders, as in NoXi
NoXi-J:
    noxi-j/{train,val,test}/<session>/..., as in NoXi
PInSoRo, with pairs of two children (cc) or of a child and a robot (cr):
    pinsoro/{train,val,test}-{cc,cr}/<session>/{purple,yellow}.<stem>.stream
    and, beside it, <role>.{task,social}_engagement.annotation.csv

The names of folders may be in upper or lower case. Features and labels may each have a
root of their own, which is one corpus or the parent folder of several.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus import patterns
from damamba_jax.schema.release import ANNOTATIONS, annotation_of

# This file lies in the root of a simulated corpus.
SIMULATED_FILE = "simulated.json"
# These files lie beside the streams of a session.
LANGUAGE_FILE = "language.annotation.csv"
GENDER_FILE = "{role}.gender.annotation.csv"

# The names of the files alone, since the folders differ from one layout to another.
_STREAM = LayoutConfig.feature_path.rpartition("/")[2]
_LABEL = LayoutConfig.label_path.rpartition("/")[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """One corpus and the layouts in which it is found.

    Args:
      name: the name of the corpus.
      folders: names that the corpus may have below a parent folder.
      layouts: variants with the same splits and roles; the likeliest comes first.
      audio_paths: patterns of recordings that prove that a seat was taken. A release
        that has such patterns holds features of empty seats too. A seat then counts
        only if it has a recording, a stream `audio.*` or a label.
      annotations: names of `ANNOTATIONS`; the layouts name the label files of the
        first one.
      needs_name: whether a folder must have the name of this release. This is so if
        another release has the same layout.
    """

    name: str
    folders: tuple[str, ...]
    layouts: tuple[LayoutConfig, ...]
    audio_paths: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ("engagement",)
    needs_name: bool = False

    @property
    def is_custom(self) -> bool:
        """Whether a user describes the corpus with `data.layout`."""
        return not self.folders

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the annotation; there are none if it has continuous values."""
        return ANNOTATIONS[self.annotations[0]]

    def with_annotation(self, classes: Sequence[str]) -> "Release | None":
        """Returns the same release with the annotation that has these classes.

        Args:
          classes: names of the classes, in any order; none for continuous values.

        Returns:
          The release, or `None` if it has no such annotation.
        """
        name, first = annotation_of(classes), f".{self.annotations[0]}."
        if name not in self.annotations:
            return None
        layouts = [
            dataclasses.replace(
                layout, label_path=layout.label_path.replace(first, f".{name}.")
            )
            for layout in self.layouts
        ]
        return dataclasses.replace(self, layouts=tuple(layouts), annotations=(name,))


_DYAD = ("expert", "novice")
_SEATS = ("subjectPos1", "subjectPos2", "subjectPos3", "subjectPos4")


def _pinsoro(pairs: str, *, partner_roles: tuple[str, ...] = ()) -> Release:
    """Makes the release with one kind of pairs; both kinds form one corpus."""
    annotations = ("task_engagement", "social_engagement")
    return Release(
        name=f"pinsoro-{pairs}",
        folders=("pinsoro",),
        layouts=(
            LayoutConfig(
                name="pinsoro",
                splits=tuple(f"{split}-{pairs}" for split in ("train", "val", "test")),
                roles=("purple", "yellow"),
                partner_roles=partner_roles,
                label_path=LayoutConfig.label_path.replace(
                    ".engagement.", f".{annotations[0]}."
                ),
                label_rate=30.0,
            ),
        ),
        annotations=annotations,
    )


RELEASES = (
    Release(
        name="noxi",
        folders=("noxi",),
        layouts=(
            LayoutConfig(
                name="noxi",
                splits=("train", "val", "test-base", "test-additional"),
                roles=_DYAD,
            ),
        ),
    ),
    Release(
        name="mpiigroupinteraction",
        folders=(
            "mpiigroupinteraction",
            "mpii/multimediate25",
            "multimediate25",
            "mpii",
        ),
        layouts=(
            LayoutConfig(
                name="mpiigroupinteraction",
                splits=("val", "test"),
                roles=_SEATS,
                feature_path="{split}/precomputed-features-{split}/{session}/"
                + _STREAM,
                label_path="{split}/engagement-annotations-{split}/{session}/" + _LABEL,
            ),
            LayoutConfig(
                name="mpiigroupinteraction", splits=("val", "test"), roles=_SEATS
            ),
        ),
        audio_paths=(
            "{split}/originalAudioVideo-{split}/{session}/{role}.wav",
            "{split}/{session}/{role}.wav",
            "{split}/{session}/{role}.audio.wav",
        ),
    ),
    Release(
        name="noxi-j",
        folders=("noxi-j", "noxij"),
        layouts=(
            LayoutConfig(name="noxi-j", splits=("train", "val", "test"), roles=_DYAD),
        ),
        needs_name=True,
    ),
    _pinsoro("cc"),
    # The robot is only a partner. It has label files, but they are not scored.
    _pinsoro("cr", partner_roles=("yellow",)),
)


def released(name: str) -> Release:
    """Looks a release up by its name.

    Raises:
      KeyError: if there is no release of this name.
    """
    return {release.name: release for release in RELEASES}[name]


def custom_release(layout: LayoutConfig, features: Sequence[FeatureConfig]) -> Release:
    """Makes a release of a user's layout, so that both are searched in the same way.

    Raises:
      ConfigError: if a pattern lacks a field, or reaches out of the root.
    """
    split = ["split"] if len(layout.splits) > 1 else []
    role = ["role"] if len(layout.roles) > 1 else []
    if any(feature.table is None for feature in features):
        patterns.check_pattern(
            layout.feature_path,
            name="layout.feature_path",
            required=[*split, "session", "role", "stem"],
        )
    for feature in features:
        if feature.table is not None:
            patterns.check_pattern(
                feature.table.files or layout.feature_path,
                name=f"features.{feature.name}.table.files",
                required=[*split, *_not_in(feature.table.rows, ["session", *role])],
            )
    told: list[str] = [*layout.label_reading.rows] if layout.label_reading else []
    if layout.label_reading and layout.label_path.lower().endswith(".eaf"):
        told.append(layout.label_reading.tier)
    patterns.check_pattern(
        layout.label_path,
        name="layout.label_path",
        required=[*split, *_not_in(told, ["session", *role])],
    )
    if layout.turns is not None:
        patterns.check_pattern(
            layout.turns.files,
            name="layout.turns.files",
            required=split,
        )
    if layout.people:
        patterns.check_pattern(layout.people, name="layout.people", required=[])
    return Release(name=layout.name, folders=(), layouts=(layout,))


def _not_in(texts: Sequence[str], fields: Sequence[str]) -> list[str]:
    """Returns the fields that occur in none of the texts."""
    return [f for f in fields if not any(f"{{{f}}}" in text for text in texts)]


def find_folders(root: Path, release: Release, problems: list[str]) -> list[Path]:
    """Lists the folders that may be the corpus: first `root`, then folders below it."""
    found = [root] if _may_be(root, release) else []
    for name in release.folders:
        for match in patterns.find(root, name, known={}, problems=problems):
            if match.path.is_dir():
                found.append(match.path)
    return found


def _may_be(folder: Path, release: Release) -> bool:
    """Says whether a folder of this name may be the corpus itself."""
    name = folder.name.lower()
    owners = [
        other.name
        for other in RELEASES
        if any(name == path.rpartition("/")[2] for path in other.folders)
    ]
    if release.is_custom or not owners:
        return not release.needs_name
    return release.name in owners
