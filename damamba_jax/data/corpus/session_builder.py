"""Builds the sessions of one split from its files, repairs rates, lists problems."""

import collections
import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus import about, patterns, rates
from damamba_jax.data.corpus.found import SplitFiles
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.data.corpus.table_builder import TableBuilder
from damamba_jax.data.corpus.track_rates import claimed_rate, repair
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.data.formats import ssi, stream_header
from damamba_jax.errors import DataFormatError, format_error
from damamba_jax.metrics.trace import Gender

_log = logging.getLogger(__name__)

_FORMS = "The names differ in case, or in how accents are written (NFC, NFD)"


class SplitBuilder:
    """Builds the sessions of one split.

    Args:
      files: the files of the split.
      features: the features that the sessions shall have.
      references: other features; their headers may tell how long a recording lasts.
      scale: range or classes, and delay, of the annotations.
      cache_dir: the folder that keeps the contents of tables.
      columns: the first table of each feature and its columns. The builders of all
        splits share this dictionary, since the columns must be the same everywhere.
      strict: whether an error is raised for a malformed stream or one of another width.
        Otherwise such a stream is a problem, and the width on disk counts.
      skip_damaged: whether files that would raise an error are left out and become
        problems.
    """

    def __init__(
        self,
        files: SplitFiles,
        *,
        features: Sequence[FeatureConfig],
        references: Sequence[FeatureConfig],
        scale: Scale,
        cache_dir: str | os.PathLike,
        columns: dict[str, tuple[Path, tuple[str, ...]]],
        strict: bool,
        skip_damaged: bool = False,
    ):
        self._files = files
        self._cache_dir = cache_dir
        self._skip = skip_damaged
        self.left_out: list[str] = []
        self._features = features
        self._references = references
        self._strict = strict
        self._tables = TableBuilder(
            files,
            features=features,
            scale=scale,
            cache_dir=cache_dir,
            columns=columns,
            strict=strict and not skip_damaged,
            report=self._problem,
        )
        self._people = 0
        # The lines about each kind of problem, one for each person concerned.
        self._lines: dict[str, list[str]] = collections.defaultdict(list)

    def build(self) -> tuple[Session, ...]:
        """Builds the sessions in the order of their names.

        Raises:
          DataFormatError: for a malformed stream or one of another width, if `strict`
            is set and `skip_damaged` is not.
        """
        sessions = self._files.sessions
        self._report_names(sessions)
        built = [self._session(session) for session in sessions]
        if self._skip:
            kept = [s for s in built if any(p.tracks for p in s.participants)]
            return tuple(kept)
        return tuple(session for session in built if session.participants)

    def _report_names(self, sessions: Sequence[str]) -> None:
        """Reports sessions without streams, and names that are nearly the same."""
        alike: dict[str, str] = {}
        for name in sessions:
            other = alike.setdefault(patterns.plain_name(name), name)
            if other != name:
                text = f"is another session than {other!r}. {_FORMS}"
                self._problem("alike", name, "", text)
        for name in sorted(self._files.labels.sessions.difference(sessions)):
            text = "has labels, but no stream, and is ignored"
            if other := alike.get(patterns.plain_name(name)):
                text += f". Are these the labels of {other!r}? {_FORMS}"
            self._problem("orphan", name, "", text)

    def problems(self) -> list[str]:
        """Lists the problems; one that everybody in the split has takes one line."""
        listed = []
        for lines in self._lines.values():
            if len(lines) == self._people > 3:
                lines = [f"{self._files.name}: all {len(lines)} people, as {lines[0]}"]
            listed += lines
        return listed

    def _problem(self, key: str, session: str, role: str, text: str) -> None:
        if self._skip and key.startswith(("bad ", "labels")):
            self.left_out.append(f"{text}.")
        self._lines[key].append(
            f"{self._files.name}/{session}{' ' if role else ''}{role}: {text}."
        )

    def _opens(self, session: str, role: str, track: Track) -> bool:
        """Says whether the track is kept: damaged files may have to be left out."""
        if not self._skip:
            return True
        try:
            track.open(self._cache_dir or None)
        except (DataFormatError, OSError) as error:
            self._problem(
                f"bad {track.feature.name}", session, role, f"{error}".removesuffix(".")
            )
            return False
        return True

    def _session(self, session: str) -> Session:
        rate = self._files.layout.label_rate
        roles = [role for role in self._files.layout.roles if self._here(session, role)]
        self._people += len(roles)
        turns = {role: self._tables.turns(session, role) for role in roles}
        lines = {role: self._count_lines(session, role) for role in roles}
        tracks: dict[str, dict[str, Track]] = {}
        for role in roles:
            seconds = [lines[role] / rate, *(lines[r] / rate for r in roles)]
            found = self._tracks(session, role, seconds)
            found |= self._tables.tracks(session, role, turns[role])
            tracks[role] = {
                name: track
                for name, track in found.items()
                if self._opens(session, role, track)
            }
        streamed = [t.seconds for r in roles for t in tracks[r].values()]
        participants = []
        for role in roles:
            source = self._tables.labels(
                session, role, turns[role], max(streamed, default=0.0)
            )
            count = lines[role] or self._tables.count_labels(session, role, source)
            if not tracks[role] and not count and not self._named(session, role):
                self._problem(f"absent {role}", session, role, "no row in any table")
                continue
            participants.append(
                Participant(
                    role=role,
                    tracks=tracks[role],
                    num_labels=count,
                    label_source=source if count else None,
                    turns=tuple(sorted(turns[role].values())),
                    is_target=role not in self._files.layout.partner_roles,
                    gender=self._gender(session, role),
                )
            )
        labelled = max([p.num_labels / rate for p in participants], default=0.0)
        # If labels are cut short, the rest of the session can still be predicted.
        duration = max([labelled, *streamed])
        if rates.fits(duration, labelled):
            duration = labelled
        participants = [self._mark_short(session, p, duration) for p in participants]
        return Session(
            corpus=self._files.layout.name,
            split=self._files.name,
            id=session,
            participants=tuple(participants),
            duration=duration,
            label_rate=rate,
            language=self._language(session),
            label_range=self._tables.scale.label_range,
            label_unit=self._tables.scale.unit,
            classes=self._tables.scale.classes,
            classes_ordered=self._tables.scale.ordered,
        )

    def _language(self, session: str) -> str | None:
        """Reads the language of a session, if it has a language file."""
        try:
            return about.read_language(self._files, session)
        except (ValueError, OSError) as error:
            self._problem("language", session, "", f"{error}")
            return None

    def _gender(self, session: str, role: str) -> Gender | None:
        """Reads the gender of a person, if the person has a gender file."""
        try:
            return about.read_gender(self._files, session, role)
        except (ValueError, OSError) as error:
            self._problem("gender", session, role, f"{error}")
            return None

    def _named(self, session: str, role: str) -> bool:
        """Says whether the role is part of the name of any file with features."""
        files = [found.of(session, role) for found in self._files.tables.values()]
        names = [m.fields.get("role") for matches in files for m in matches]
        return role in names or role in self._files.streams.get(session, {})

    def _mark_short(
        self, session: str, person: Participant, duration: float
    ) -> Participant:
        """Marks the tracks of one person that end long before the recording does."""
        tracks = dict(person.tracks)
        for name, track in tracks.items():
            if track.seconds < duration and not rates.fits(track.seconds, duration):
                tracks[name] = dataclasses.replace(track, stops_early=True)
                self._problem(
                    f"short {name}",
                    session,
                    person.role,
                    f"{name} stops after {track.seconds:.1f} of {duration:.1f} s; the "
                    "rest is missing",
                )
        return dataclasses.replace(person, tracks=tracks)

    def _here(self, session: str, role: str) -> bool:
        """Decides whether a seat was taken."""
        streams = self._files.streams.get(session, {}).get(role, {})
        files = [*self._files.tables.values(), self._files.labels]
        seats = None if self._files.seats is None else self._files.seats.get(session)
        if seats is None:
            if not streams and not any(found.of(session, role) for found in files):
                if self._files.seats is None:
                    self._problem(f"absent {role}", session, role, "no file at all")
                return False
            return True
        if role in seats:
            return True
        if streams:
            self._problem(
                "ghost",
                session,
                role,
                f"has {len(streams)} streams, but neither audio nor label: the seat "
                "was empty",
            )
        return False

    def _count_lines(self, session: str, role: str) -> int:
        """Counts the frames of an annotation with one value per line; 0 for others."""
        layout, count = self._files.layout, 0
        if role in layout.partner_roles:
            return 0
        for match in self._files.labels.of(session, role):
            try:
                if layout.label_reading is None and self._skip:
                    # The file is read as in training, to find what raises there.
                    source = self._tables.labels(session, role, {}, 0.0)
                    count = max(count, len(source.read()) if source else 0)
                elif layout.label_reading is None:
                    count = max(count, ssi.count_labels(match.path))
            except (OSError, DataFormatError) as error:
                if self._strict and not self._skip and not isinstance(error, OSError):
                    raise
                text = f"{error}".removesuffix(".")
                if isinstance(error, OSError):
                    text = f"{match.path}: {error.strerror}"
                self._problem("labels", session, role, text)
                return 0
            if layout.label_reading is None and not count:
                self._problem("empty labels", session, role, f"{match.path} is empty")
        wanted = self._files.labels or not self._files.split.lower().startswith("test")
        if (
            self._files.labels_expected
            and wanted
            and not self._files.labels.of(session, role)
        ):
            name = layout.label_path
            known = self._files.fields(session, role) | {"stem": "*"}
            for field, value in known.items():
                name = name.replace(f"{{{field}}}", value)
            self._problem("no labels", session, role, f"no label file {name}")
        return count

    def _tracks(
        self, session: str, role: str, label_seconds: Sequence[float]
    ) -> dict[str, Track]:
        found = list(self._read(session, role, self._features, quiet=False))
        lengths = {t.feature.name: (t.num_frames, claimed_rate(t)) for t in found}
        if not any(label_seconds) and "openpose" not in lengths:
            for track in self._read(session, role, self._references, quiet=True):
                name = track.feature.name
                lengths[name] = (track.num_frames, claimed_rate(track))
        duration = rates.reference_duration(label_seconds, lengths)
        tracks = {}
        for track in found:
            try:
                repaired, about, text = repair(track, duration, self._files.name)
            except DataFormatError as error:
                if self._strict and not self._skip:
                    raise
                name = track.feature.name
                self._problem(
                    f"bad {name}", session, role, f"{error}".removesuffix(".")
                )
                continue
            if text:
                self._problem(f"{about} {track.feature.name}", session, role, text)
            tracks[track.feature.name] = repaired
        own = label_seconds[0]
        if own and duration and not rates.fits(own, duration):
            self._problem(
                "cut labels",
                session,
                role,
                f"labels cover {own:.1f} s, the streams {duration:.1f} s",
            )
        return tracks

    def _read(
        self, session: str, role: str, features: Sequence[FeatureConfig], *, quiet: bool
    ) -> Iterator[Track]:
        """Yields the streams that exist, still at the rates of their headers."""
        stems = self._files.streams.get(session, {}).get(role, {})
        for feature in features:
            if feature.table is not None:
                continue
            paths = [stems[s.lower()] for s in feature.stems if s.lower() in stems]
            if not paths:
                if not quiet:
                    name = f"{role}.{{{','.join(feature.stems)}}}.stream"
                    text = f"no file for {feature.name}, expected {name}"
                    self._problem(f"no {feature.name}", session, role, text)
                continue
            try:
                track = self._read_one(feature, paths[0], any_width=quiet)
            except (DataFormatError, OSError) as error:
                if quiet:
                    continue
                if self._strict and not self._skip:
                    raise
                self._problem(
                    f"bad {feature.name}", session, role, f"{error}".removesuffix(".")
                )
                continue
            if not track.num_frames:
                key, text = f"empty {feature.name}", f"{paths[0]} has no frames"
            elif track.feature.dim != feature.dim:
                key = f"width of {feature.name}"
                text = f"{feature.name} has {track.feature.dim} columns, expected "
                text += f"{feature.dim}, in {paths[0]}"
            else:
                key = text = ""
            if key and not quiet:
                self._problem(key, session, role, text)
            if track.num_frames:
                yield track

    def _read_one(
        self, feature: FeatureConfig, path: Path, *, any_width: bool
    ) -> Track:
        header = stream_header.read_header(path)
        dim = header.dim
        if dim != feature.dim and self._strict and not any_width:
            raise format_error(
                path,
                "info.dim",
                expected=f"{feature.dim} columns (`features.{feature.name}.dim`)",
                got=f"{dim}",
            )
        if not any(patterns.is_inside(header.data_path, r) for r in self._files.roots):
            raise format_error(
                path, "data", expected="samples below the root", got="a link out of it"
            )
        frames = ssi.count_frames(header)
        if dim != feature.dim:
            drop = tuple(c for c in feature.drop_columns if c < dim)
            feature = dataclasses.replace(feature, dim=dim, drop_columns=drop)
        return Track(feature, path, header.sample_rate, frames, header.sample_rate)
