"""Reads the language of a session and the gender of a person from released files.

Both kinds of files have lines of the form `start;end;value;confidence`.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from damamba_jax.data.corpus import patterns
from damamba_jax.data.corpus.found import SplitFiles
from damamba_jax.data.corpus.releases import GENDER_FILE, LANGUAGE_FILE
from damamba_jax.data.formats.headers import decode_text, parse_number
from damamba_jax.metrics.trace import Gender

_BYTES = 4096
# The release's code of a woman. Every other number counts as the code of a man.
_FEMALE = 2


def read_language(files: SplitFiles, session: str) -> str | None:
    """Reads the third field of the session's language file.

    Returns:
      The language, or `None` if the session has no language file.

    Raises:
      ValueError: if the file names no language.
    """
    for path in _beside(files, session, files.layout.roles, LANGUAGE_FILE):
        values = _read_values(path)
        if not values or not values[0]:
            raise ValueError(f"no language in {path}")
        return values[0]
    return None


def read_gender(files: SplitFiles, session: str, role: str) -> Gender | None:
    """Reads the third field of a person's gender file.

    Returns:
      The gender, or `None` if the person has no gender file.

    Raises:
      ValueError: if the file holds no code, or several different ones.
    """
    for path in _beside(files, session, (role,), GENDER_FILE.format(role=role)):
        try:
            codes = {parse_number(value) for value in _read_values(path)}
        except ValueError as error:
            raise ValueError(f"no code of a gender in {path}: {error}") from error
        if len(codes) != 1 or not all(map(math.isfinite, codes)):
            raise ValueError(f"expected one code of a gender in {path}")
        return "female" if codes == {_FEMALE} else "male"
    return None


def _beside(
    files: SplitFiles, session: str, roles: tuple[str, ...], name: str
) -> Iterator[Path]:
    """Yields files called `name` beside the session's streams and the roles' labels."""
    streams = files.streams.get(session, {})
    paths = [path for stems in streams.values() for path in stems.values()]
    for role in roles:
        paths += [match.path for match in files.labels.of(session, role)]
    for folder in dict.fromkeys(path.parent for path in paths):
        path = folder / name
        inside = any(patterns.is_inside(path, root) for root in files.roots)
        if inside and path.is_file():
            yield path


def _read_values(path: Path) -> list[str]:
    """Returns the third field of each line; it is empty if a line has fewer fields."""
    with open(path, "rb") as file:
        raw = file.read(_BYTES)
    if len(raw) == _BYTES:
        # The last line may be cut in the middle.
        raw = raw.rpartition(b"\n")[0]
    lines = decode_text(raw).splitlines()
    return [(line.split(";") + ["", "", ""])[2].strip() for line in lines if line]
