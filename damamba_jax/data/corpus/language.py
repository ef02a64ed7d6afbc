"""The language of a session, as a file of the release names it."""

from damamba_jax.data.corpus import patterns
from damamba_jax.data.corpus.found import SplitFiles
from damamba_jax.data.corpus.releases import LANGUAGE_FILE
from damamba_jax.data.formats.headers import decode_text

_BYTES = 4096


def read_language(files: SplitFiles, session: str) -> str | None:
    """Reads the third field of the session's language file; `None` without one.

    Raises:
      ValueError: if the file names no language.
    """
    streams = files.streams.get(session, {}).values()
    paths = [path for stems in streams for path in stems.values()]
    for role in files.layout.roles:
        paths += [match.path for match in files.labels.of(session, role)]
    for folder in dict.fromkeys(path.parent for path in paths):
        path = folder / LANGUAGE_FILE
        inside = any(patterns.is_inside(path, root) for root in files.roots)
        if not inside or not path.is_file():
            continue
        with open(path, "rb") as file:
            lines = decode_text(file.read(_BYTES)).splitlines()
        fields = lines[0].split(";") if lines else []
        if len(fields) >= 3 and fields[2].strip():
            return fields[2].strip()
        raise ValueError(f"no language in {path}")
    return None
