"""Finds files by patterns such as `{split}/{session}/{role}.{stem}.stream`.

Names match in upper and lower case, since downloads of one release differ in case.
Nothing outside the root is ever reached: `..` and absolute patterns are refused, and
links that lead out of the root are reported instead of followed.
"""

import dataclasses
import os
import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from damamba_jax.errors import ConfigError

FIELDS = ("split", "session", "role", "stem", "turn", "rater", "frame")


@dataclasses.dataclass(frozen=True)
class Match:
    """One path, and the values that the fields of the pattern have in it."""

    path: Path
    fields: Mapping[str, str]


def check_pattern(pattern: str, *, name: str, required: Sequence[str]) -> None:
    """Checks a pattern before it is used.

    Args:
      pattern: parts separated by `/`.
      name: the name of the setting, for the error.
      required: fields that must occur.

    Raises:
      ConfigError: if the pattern is not a relative path, lacks a required field, or has
        an unknown one.
    """
    try:
        parts = string.Formatter().parse(pattern)
        used = {field for _, field, _, _ in parts if field is not None}
    except ValueError as error:
        raise ConfigError(
            f"`{name}`: expected balanced braces, got {pattern!r}."
        ) from error
    unknown = sorted(used - {*FIELDS})
    missing = [field for field in required if field not in used]
    if unknown or missing:
        raise ConfigError(
            f"`{name}`: expected a pattern with the fields {list(required)} and no "
            f"other fields than {list(FIELDS)}, got {pattern!r}."
        )
    if any(part in ("", ".", "..") or "\\" in part for part in pattern.split("/")):
        raise ConfigError(
            f"`{name}`: expected a path below the root, without '..', got {pattern!r}."
        )


def is_inside(path: Path, root: Path) -> bool:
    """Says whether `path`, with its links resolved, lies in the resolved `root`."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a circle of links
        return False


def _odd_link(path: Path, root: Path) -> str:
    """Says why a link is not followed; the text is empty if the link is followed."""
    try:
        path.resolve(strict=True)
    except (OSError, RuntimeError):
        return f"{path}: is a link in a circle or to nothing, and was ignored."
    if is_inside(path, root):
        return ""
    return (
        f"{path}: is a link out of {root} and was ignored; give the folder that holds "
        "the files as the root."
    )


def find(
    root: Path,
    pattern: str,
    *,
    known: Mapping[str, Sequence[str]],
    problems: list[str],
) -> Iterator[Match]:
    """Finds all paths that match, in the order of their names.

    Args:
      root: resolved folder.
      pattern: a pattern that `check_pattern` accepts.
      known: values that a field may take. A field that is not named may take any value
        that does not begin with a point, as the names of hidden files do.
      problems: gets a line for each link that leads out of the root and each folder
        that cannot be read.
    """
    parts = pattern.split("/")
    yield from _walk(root, root, parts, {}, known, problems)


def _walk(
    root: Path,
    folder: Path,
    parts: Sequence[str],
    bound: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
    problems: list[str],
) -> Iterator[Match]:
    regex = compile_part(parts[0], bound, known)
    try:
        with os.scandir(folder) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
    except (NotADirectoryError, FileNotFoundError):
        return
    except OSError as error:
        problems.append(f"{folder}: cannot be read ({error.strerror}).")
        return
    for entry in listing:
        match = regex.fullmatch(entry.name)
        if match is None:
            continue
        path = folder / entry.name
        problem = _odd_link(path, root) if entry.is_symlink() else ""
        if problem:
            if problem not in problems:
                problems.append(problem)
            continue
        fields = {**bound, **_canonical(match.groupdict(), known)}
        if len(parts) == 1:
            yield Match(path, fields)
        elif path.is_dir():
            yield from _walk(root, path, parts[1:], fields, known, problems)


def compile_part(
    part: str, bound: Mapping[str, str], known: Mapping[str, Sequence[str]]
) -> re.Pattern[str]:
    """Makes a pattern that matches one name, in any case.

    Args:
      part: text with fields, such as `{role}.{stem}.stream`.
      bound: values of fields that are known already.
      known: values that other fields may take. A field that is not named may take any
        value that does not begin with a point, as the names of hidden files do.
    """
    text, here = "", set()
    for literal, field, _, _ in string.Formatter().parse(part):
        text += re.escape(literal)
        if field is None:
            continue
        if field in bound:
            text += re.escape(bound[field])
        elif field in here:
            text += f"(?P={field})"
        else:
            # The longest value is tried first, so that `pos10` is not read as `pos1`
            # with a rest.
            values = sorted(known.get(field, ()), key=len, reverse=True)
            free = r"\d{1,15}" if field == "frame" else r"[^.].*?"
            choice = "|".join(map(re.escape, values)) or free
            text += f"(?P<{field}>{choice})"
            here.add(field)
    return re.compile(text, re.IGNORECASE | re.DOTALL)


def _canonical(
    values: Mapping[str, str], known: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Returns the values in the spelling of `known`."""
    spelled = {}
    for field, value in values.items():
        same = [v for v in known.get(field, ()) if v.lower() == value.lower()]
        spelled[field] = same[0] if same else value
    return spelled


def plain_name(name: str) -> str:
    """Returns a form of a name that does not depend on case and on accents' form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
