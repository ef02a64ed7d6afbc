"""Fingerprints of sessions: whether a corpus in another folder is the same one."""

import hashlib
import os
from pathlib import Path

from damamba_jax.data.corpus.sessions import CorpusIndex, Session

# Read of each file, at its start and at its end. Whole recordings would take hours.
_BYTES = 4096
# Files read of each track, spread over all.
_MAX_FILES = 100


def fingerprints(index: CorpusIndex) -> dict[str, str]:
    """Fingerprints every session, by `split/session`, wherever it lies.

    Names of people and features, lengths, rates, and the size, start and end of every
    file count; folders and times of files do not.
    """
    return {f"{s.split}/{s.id}": _fingerprint(s) for s in index.sessions}


def _fingerprint(session: Session) -> str:
    found = hashlib.sha256()
    for participant in session.participants:
        found.update(f"{participant.role} {participant.num_labels}\n".encode())
        for path in participant.label_files:
            found.update(_sketch(path))
        for name, track in sorted(participant.tracks.items()):
            found.update(f"{name} {track.num_frames} {track.rate!r}\n".encode())
            # A feature may have a file for each frame.
            for path in track.files[:: 1 + len(track.files) // _MAX_FILES]:
                found.update(_sketch(path))
    return found.hexdigest()[:16]


def _sketch(path: Path) -> bytes:
    """Size, start and end of a file; nothing for a file that is not there."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(_BYTES)
            file.seek(max(size - _BYTES, 0))
            return b"%d" % size + start + file.read(_BYTES)
    except OSError:
        return b""
