"""Fingerprints of sessions, which tell whether two folders hold the same corpus."""

import hashlib
import os
from pathlib import Path

from damamba_jax.data.corpus.sessions import CorpusIndex, Session

# So many bytes are read at the start and at the end of each file. Reading whole
# recordings would take hours.
_BYTES = 4096
# At most so many files of each track are read. They are spread over the whole track.
_MAX_FILES = 100


def fingerprints(index: CorpusIndex) -> dict[str, str]:
    """Returns the fingerprint of every session by its name, `split/session`.

    A fingerprint depends on the roles of people and the names of features, on lengths
    and rates, and on the size, start and end of the files. It does not depend on the
    folder of a file or on the time when the file was written.
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
    """Returns the size, start and end of a file; nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(_BYTES)
            file.seek(max(size - _BYTES, 0))
            return b"%d" % size + start + file.read(_BYTES)
    except OSError:
        return b""
