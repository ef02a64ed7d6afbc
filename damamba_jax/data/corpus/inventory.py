"""Inventory of a corpus: rows of text about its sessions, splits and features."""

from collections.abc import Iterator, Sequence

import numpy as np

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.ceiling import human_ceiling
from damamba_jax.data.corpus.sessions import CorpusIndex, Participant, Session
from damamba_jax.data.corpus.tracks import Track

# The share of frames with a label, by the session's split, the session's id and role.
Coverage = dict[tuple[str, str, str], float]

SESSION_COLUMNS = (
    "session", "role", "labels", "feature", "dim", "Hz", "frames", "s",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "sessions", "people", "labelled", "coverage", "hours")


def label_coverage(sessions: Sequence[Session], problems: list[str]) -> Coverage:
    """Reads all labels, and adds a problem for each file that cannot be read."""
    coverage: Coverage = {}
    for session in sessions:
        for participant in session.participants:
            if participant.labels_path is None:
                continue
            key = (session.split, session.id, participant.role)
            try:
                labels = participant.labels()
            except (ValueError, OSError) as error:
                problems.append(f"{session.split}/{session.id} {key[2]}: {error}")
                continue
            coverage[key] = float(np.mean(np.isfinite(labels)))
    return coverage


def session_rows(
    sessions: Sequence[Session], coverage: Coverage
) -> Iterator[tuple[str, ...]]:
    """Lists the streams of everybody, under `SESSION_COLUMNS`."""
    for session in sessions:
        title = session.id + (f" {session.language}" if session.language else "")
        for participant in session.participants:
            labels = _labels_cell(session, participant, coverage)
            start = (title, participant.role, labels)
            for track in participant.tracks.values():
                yield (*start, *_track_cells(track))
                start = ("", "", "")
            if not participant.tracks:
                yield (*start, "none", "", "", "", "")
            title = ""


def split_rows(found: CorpusIndex, coverage: Coverage) -> Iterator[tuple[str, ...]]:
    """Sums up each split, under `SPLIT_COLUMNS`."""
    for split in dict.fromkeys(session.split for session in found.sessions):
        sessions = found.split(split)
        people = [p for session in sessions for p in session.participants]
        shares = [share for key, share in coverage.items() if key[0] == split]
        yield (
            split,
            str(len(sessions)),
            str(len(people)),
            str(len(shares)),
            f"{np.mean(shares):.1%}" if shares else "-",
            f"{sum(session.duration for session in sessions) / 3600:.2f}",
        )


def feature_lines(
    found: CorpusIndex, features: Sequence[FeatureConfig]
) -> Iterator[str]:
    """Says for each split how many of its people have which feature."""
    for split in dict.fromkeys(session.split for session in found.sessions):
        people = [p for session in found.split(split) for p in session.participants]
        counts = (
            f"{feature.name} {sum(feature.name in p.tracks for p in people)}"
            for feature in features
        )
        yield f"{split}: {', '.join(counts)} of {len(people)} people"


def rater_lines(found: CorpusIndex, coverage: Coverage) -> Iterator[str]:
    """Says how well the raters agree, for each split that several people rated."""
    for split in dict.fromkeys(session.split for session in found.sessions):
        ceiling = human_ceiling(
            found.split(split),
            is_asked=lambda session, role: (
                (session.split, session.id, role) in coverage
            ),
        )
        if ceiling.raters:
            yield f"{split}: {ceiling}"


def _labels_cell(session: Session, participant: Participant, coverage: Coverage) -> str:
    if participant.labels_path is None:
        return "none"
    share = coverage.get((session.split, session.id, participant.role))
    percent = "bad" if share is None else f"{share:.1%}"
    return f"{participant.num_labels} ({percent})"


def _track_cells(track: Track) -> tuple[str, ...]:
    rate = f"{track.rate:.4g}"
    if track.rate != track.header_rate:
        rate = f"{track.header_rate:.4g} -> {rate}"
    return (
        track.feature.name,
        str(track.feature.dim),
        rate,
        str(track.num_frames),
        f"{track.num_frames / track.rate:.1f}",
    )
