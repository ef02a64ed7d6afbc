"""Finds the meaning of each column of a table from its name and its values."""

import re
from collections.abc import Sequence

import numpy as np

from damamba_jax.data.guess import words
from damamba_jax.data.guess.columns import Columns, distinct
from damamba_jax.data.guess.contents import Content
from damamba_jax.data.guess.names import MAX_ROLES, Known, make_pattern, parse

_CLOCK = re.compile(r"(\d{1,3}:)?\d{1,3}:\d{1,2}([.,]\d+)?")
_WIDE = re.compile(r"(.*?)(\d+)")
_MAX_KEYS = 2000
_MAX_WORDS = 3
_MAX_CLASSES = 12
# At least so many columns with the same name and different numbers are turns.
_MIN_WIDE = 3


def find_columns(
    contents: Sequence[Content], known: Known, *, about_turns: bool
) -> Columns:
    """Finds the meaning of each column.

    Args:
      contents: tables with the same columns.
      known: participants and sessions that are known.
      about_turns: whether the names of the files say that they are tables of turns.
    """
    first = contents[0]
    names = [name for name in first.columns if "=" not in name]
    free = dict.fromkeys(names)
    parts: dict[str, str] = {}

    def take(part: str, column: str | None) -> None:
        if column is not None:
            parts[part] = column
            free.pop(column)

    take("role", _people(contents, list(free), known))
    take("session", _sessions(contents, list(free), known))
    key = _key(contents, list(free), known) if "session" not in parts else ""
    if key:
        parts["key"] = key
        free.pop(key.partition("=")[0])
    take("rater", _named(list(free), words.RATER, contents, limit=MAX_ROLES))
    for part, kinds in (("start", words.START), ("end", words.END)):
        take(part, _times(list(free), kinds, first))
    take("duration", _times(list(free), words.DURATION, first))
    if about_turns and not parts.keys() & {"start", "end", "duration"}:
        # This table of turns gives only their lengths.
        take("duration", _times(list(free), ("ms", "seconds", "s", "sec"), first))
    if not parts.keys() & {"start", "end"}:
        take("time", _times(list(free), words.TIME, first))
    told = "{turn}" in key
    turn = None if told else _times(list(free), words.TURN, first, texts=True)
    if about_turns and turn is None and not told:
        others = [n for n in free if _is_whole(first, n) or n in first.texts]
        turn = others[0] if others else None
    wide = _wide(list(free))
    if not wide:
        take("turn", turn)
    if not parts.keys() & {"start", "end", "time", "turn"}:
        frame = _times(list(free), words.FRAME, first)
        if frame is not None and _counts(first.numbers[frame]):
            take("time", frame)
    values = tuple(n for n in free if n in first.numbers and not _is_index(first, n))
    few = tuple(n for n in free if n in first.texts and _is_class(contents, n))
    return Columns(
        **parts,
        unit=_unit(first, parts),
        values=values,
        names=few,
        wide=wide,
        people=distinct(contents, parts["role"]) if "role" in parts else (),
    )


def _people(contents: Sequence[Content], names: list[str], known: Known) -> str | None:
    """Finds the column of participants, by known names or by the column's own name."""
    # A column with one value in each file says no more than the name of the file.
    names = [
        name
        for name in names
        if any(len(distinct([c], name)) > 1 for c in contents)
        and not _overlaps(contents, name, known.sessions - known.roles)
    ]
    for name in names:
        values = {value.lower() for value in distinct(contents, name)}
        if name in contents[0].texts and values <= known.roles:
            return name
    for word in words.PERSON:
        for name in names:
            if words.split_words(name)[-1:] in ((word,), ("id",)) and words.says(
                name, (word,)
            ):
                values = distinct(contents, name)
                if 1 < len(values) <= MAX_ROLES:
                    return name
    return None


def _overlaps(contents: Sequence[Content], name: str, values: frozenset[str]) -> bool:
    """Says whether most values of a column are among the given values."""
    found = {value.lower() for value in distinct(contents, name)}
    return len(found & values) > max(1, len(found) // 2)


def _sessions(
    contents: Sequence[Content], names: list[str], known: Known
) -> str | None:
    names = [n for n in names if any(len(distinct([c], n)) > 1 for c in contents)]
    # A table of all sessions may name sessions without files.
    found = [n for n in names if _overlaps(contents, n, known.sessions)]
    called = [n for n in found if words.says(n, (*words.SESSION, *words.PERSON))]
    texts = [n for n in found if n in contents[0].texts]
    return next(iter(called or texts), None)


def _key(contents: Sequence[Content], names: list[str], known: Known) -> str:
    """Finds a column whose texts contain the session; returns it with its pattern."""
    for name in names:
        # A column with one text in each file says no more than the name of the file.
        told = any(len(distinct([c], name)) > 1 for c in contents if name in c.texts)
        values = distinct(contents, name) if told else ()
        cells = [parse((value.replace("/", "_"),)) for value in values[:_MAX_KEYS]]
        if len(cells) < 2 or len({cell.shape for cell in cells}) > 1:
            continue
        pattern = make_pattern(cells, known)
        sessions = {value.lower() for value in pattern.values("session")}
        if len(sessions & known.sessions) > max(1, len(sessions) // 2):
            return f"{name}={pattern.text}"
    return ""


def _named(
    names: list[str], kinds: tuple[str, ...], contents: Sequence[Content], *, limit: int
) -> str | None:
    for name in names:
        # A column `rater_1` holds ratings; a column `rater` holds the raters' names.
        if words.split_words(name)[-1:] and words.split_words(name)[-1] in kinds:
            values = distinct(contents, name)
            if 1 < len(values) <= limit and name in contents[0].texts:
                return name
    return None


def _times(
    names: list[str], kinds: tuple[str, ...], content: Content, *, texts: bool = False
) -> str | None:
    """Finds the first column with such a name that holds numbers, or times as text."""
    # A name of many words, such as `MeanVoicedSegmentLengthSec`, is that of a feature.
    names = [name for name in names if len(words.split_words(name)) <= _MAX_WORDS]
    for word in kinds:
        for name in names:
            if not words.says(name, (word,)):
                continue
            if name in content.numbers or texts or _is_clock(content, name):
                return name
    return None


def _is_clock(content: Content, name: str) -> bool:
    filled = [t.strip() for t in content.texts.get(name, ()) if t.strip()]
    return bool(filled) and all(map(_CLOCK.fullmatch, filled))


def _is_whole(content: Content, name: str) -> bool:
    values = content.numbers.get(name, np.array([np.nan]))
    return bool(np.isfinite(values).all() and (values == np.round(values)).all())


def _counts(values: np.ndarray) -> bool:
    """Says whether numbers go up by one, as numbers of frames do."""
    steps = np.diff(values[np.isfinite(values)])
    return len(steps) > 0 and bool(np.median(steps) == 1.0)


def _is_class(contents: Sequence[Content], name: str) -> bool:
    """Says whether a column holds only a few words, which are often repeated."""
    words_of = distinct(contents, name)
    # A configuration lists classes with commas, so such a word would become two.
    if any("," in word for word in words_of):
        return False
    rows = sum(len(content.texts.get(name, ())) for content in contents)
    return 1 < len(words_of) <= _MAX_CLASSES and 3 * len(words_of) <= rows


def _is_index(content: Content, name: str) -> bool:
    """Says whether a column counts rows, or numbers faces or frames."""
    found = words.split_words(name)
    if not found or found == ("face", "id"):
        return True
    if found[-1] not in words.INDEX and found[0] not in words.INDEX:
        return False
    values = content.numbers[name]
    return _is_whole(content, name) and (
        found[-1] in ("id", "frame", "index") or _counts(values)
    )


def _wide(names: list[str]) -> str:
    """Returns the pattern of columns `Turn 1`, `Turn 2`, ...; empty without them."""
    for word in words.TURN:
        found = [name for name in names if words.says(name, (word,))]
        matches = [match for match in map(_WIDE.fullmatch, found) if match]
        stems = {match[1] for match in matches}
        if len(stems) == 1 and len(matches) >= _MIN_WIDE:
            stem = stems.pop().replace("{", "{{").replace("}", "}}")
            return f"{stem}{{turn}}"
    return ""


def _unit(content: Content, parts: dict[str, str]) -> str:
    """Guesses the unit of the times of a table."""
    columns = [parts[p] for p in ("time", "start", "end", "duration") if p in parts]
    if not columns:
        return "s"
    if any(_is_clock(content, name) for name in columns):
        return "mm:ss"
    if any(map(words.in_milliseconds, columns)):
        return "ms"
    if all(words.says(name, words.FRAME) for name in columns) and not any(
        words.says(name, words.TIME) for name in columns
    ):
        return "frames"
    spans = [np.diff(content.numbers[parts["time"]])] if "time" in parts else []
    if "start" in parts and "end" in parts:
        spans.append(content.numbers[parts["end"]] - content.numbers[parts["start"]])
    if "duration" in parts:
        spans.append(content.numbers[parts["duration"]])
    # Steps of times and lengths of turns are short, so large numbers are milliseconds.
    usual = [float(np.median(s[s > 0])) for s in spans if (s > 0).any()]
    limit = 4.0 if "time" in parts else 200.0
    return "ms" if usual and max(usual) > limit else "s"
