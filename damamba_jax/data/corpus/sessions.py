"""Parts of an index: `CorpusIndex` > `Session` > `Participant`; see `tracks.py`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.corpus.label_source import LabelSource
from damamba_jax.data.corpus.table_rows import Span
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.errors import CorpusError, format_error, nearest
from damamba_jax.metrics.trace import Gender
from damamba_jax.metrics.turns import Turns, place_turns, turn_classes, turn_means


@dataclasses.dataclass(frozen=True)
class Participant:
    """One person of a session.

    Args:
      role: the role of the person in the session, such as `"expert"`.
      tracks: features by name; a feature that is not on disk is absent.
      num_labels: number of frames of the annotation.
      label_source: what reads the annotation; `None` if there is no annotation.
      turns: start and end of the session's turns, if a table gives them.
      is_target: whether the person is rated and scored; `False` for somebody who is
        only a partner, such as a robot.
      gender: the gender that the release gives; `None` if it is unknown.
      person: the name of the person, spelled alike in all sessions; empty if it is
        unknown.
    """

    role: str
    tracks: Mapping[str, Track]
    num_labels: int = 0
    label_source: LabelSource | None = None
    turns: tuple[Span, ...] = ()
    is_target: bool = True
    gender: Gender | None = None
    person: str = ""

    @property
    def labels_path(self) -> Path | None:
        """The first file of the annotation; `None` if there is no annotation."""
        return self.label_source.pieces[0].path if self.label_source else None

    @property
    def label_files(self) -> tuple[Path, ...]:
        """All files of the annotation."""
        if self.label_source is None:
            return ()
        paths = [piece.path for piece in self.label_source.pieces]
        # The samples of a NOVA annotation lie in a file beside its header.
        beside = [path.with_name(f"{path.name}~") for path in paths]
        return (*paths, *(path for path in beside if path.is_file()))

    def labels(self) -> Float[np.ndarray, "Tl"]:
        """Reads the annotation: float64 `[num_labels]`, NaN where nobody annotated.

        The values lie in [0, 1], whatever the range of the annotations, or they are the
        numbers of classes.

        Raises:
          ValueError: if there is no annotation.
          DataFormatError: if the annotation is malformed.
        """
        if self.label_source is None:
            raise ValueError(
                f"`label_source`: {self.role} has no annotation; check "
                "`label_source is not None` first."
            )
        return self.label_source.read()

    def raters(self) -> dict[str, Float[np.ndarray, "Tl"]]:
        """Reads the values of each rater, in the form of `labels`.

        Returns:
          Values by the name of the rater; empty if there is only one rater.

        Raises:
          DataFormatError: if the annotation is malformed.
        """
        source = self.label_source
        if source is None or (source.config is None and len(source.pieces) == 1):
            return {}
        found = source.read_raters()
        return found if len(found) > 1 else {}


@dataclasses.dataclass(frozen=True)
class Session:
    """One recorded conversation.

    Args:
      corpus: name of the corpus, such as `"noxi"`, or of a custom layout.
      split: names of corpus and folder, such as `"noxi/train"`.
      id: name of the session, as in the names of its files or folder.
      participants: the people who took part, in the order of the layout's roles.
      duration: duration of the longest label file, s; that of the longest stream if
        labels are missing or cut short.
      label_rate: rate of the annotations, Hz.
      language: the language as the release spells it; `None` if it is unknown.
      label_range: lowest and highest value of the annotations, which
        `Participant.labels` maps to 0 and 1.
      label_unit: what is learned and scored as a whole, a frame or a turn.
      classes: the names of the classes; annotations then hold the numbers of classes.
        Empty if annotations are values of a range.
      classes_ordered: whether the classes are steps of a scale.
    """

    corpus: str
    split: str
    id: str
    participants: tuple[Participant, ...]
    duration: float
    label_rate: float
    language: str | None = None
    label_range: tuple[float, float] = (0.0, 1.0)
    label_unit: Literal["frame", "turn"] = "frame"
    classes: tuple[str, ...] = ()
    classes_ordered: bool = False

    @property
    def people(self) -> frozenset[str]:
        """Names of the people who are scored in this session, as far as known."""
        return frozenset(p.person for p in self.participants if p.is_target) - {""}

    def num_frames(self, seat: int) -> int:
        """Counts the frames of one participant's annotation.

        Without an annotation this is the number of frames that the recording would
        have at `label_rate`, so that scores have a time axis.
        """
        if self.participants[seat].labels_path is not None:
            return self.participants[seat].num_labels
        return round(self.duration * self.label_rate)

    def annotation(self, seat: int) -> Float[np.ndarray, "T"]:
        """Reads one participant's annotation; NaN where nobody annotated.

        The values lie within [0, 1], or they are the numbers of classes.

        Raises:
          DataFormatError: if the annotation is malformed, or if its number of frames
            has changed since it was indexed.
        """
        person, frames = self.participants[seat], self.num_frames(seat)
        if person.labels_path is None:
            return np.full(frames, np.nan)
        labels = person.labels()
        if len(labels) != frames:
            raise format_error(
                person.labels_path,
                "labels",
                expected=f"{frames}, as indexed (index the corpus again if the file "
                "was replaced)",
                got=f"{len(labels)}",
            )
        return labels

    def turns(self, seat: int) -> Turns | None:
        """Finds the turns of one participant, on the frames of the annotation.

        These are the turns of a table, if there is one, and otherwise the intervals
        that the annotation rates as a whole.

        Returns:
          The turns; `None` if the corpus is scored by frames.

        Raises:
          DataFormatError: if the annotation is malformed.
        """
        if self.label_unit == "frame":
            return None
        person = self.participants[seat]
        spans = person.turns
        if person.label_source is not None:
            spans = person.label_source.spans
        return place_turns(
            [(span.name, span.start, span.end) for span in spans],
            rate=self.label_rate,
            frames=self.num_frames(seat),
        )

    def ratings(self, seat: int) -> dict[str, Float[np.ndarray, "n"]]:
        """Reads the values of each rater, one for each frame or for each turn.

        Returns:
          Values by the name of the rater; empty if there is only one rater.

        Raises:
          DataFormatError: if the annotation is malformed.
        """
        found, turns = self.participants[seat].raters(), self.turns(seat)
        if turns is None:
            return found
        return {
            rater: turn_classes(values, turns, len(self.classes))
            if self.classes
            else turn_means(values, turns)
            for rater, values in found.items()
        }


@dataclasses.dataclass(frozen=True)
class CorpusIndex:
    """Everything that was found below a root.

    Args:
      root: the folder of the corpus, or of several corpora.
      simulated: whether the corpus was drawn, not recorded.
      sessions: all sessions, by split in the order of the layout, then by name.
      problems: lines about everything that is missing, odd or ignored.
      searched: the patterns and folders that were searched, for each known split.
      left_out: lines about files that the configuration leaves out, one for each
        setting.
    """

    root: Path
    simulated: bool
    sessions: tuple[Session, ...]
    problems: tuple[str, ...]
    searched: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Session, ...]:
        """Returns the sessions of a split, at least one.

        Raises:
          CorpusError: if the split is unknown or empty.
        """
        found = tuple(session for session in self.sessions if session.split == name)
        if found:
            return found
        exist = ", ".join(dict.fromkeys(s.split for s in self.sessions)) or "none"
        if name in self.searched:
            raise CorpusError(
                f"`split`: {name!r} is empty: expected {self.searched[name]}, got no "
                f"session. Splits with sessions: {exist}."
            )
        raise CorpusError(
            f"`split`: unknown split {name!r}{nearest(name, self.searched)} "
            f"Splits with sessions below {self.root}: {exist}."
        )
