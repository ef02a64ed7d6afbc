"""Finds what is odd in the values of a corpus: ranges, sentinels, scales, constants.

A bounded number of frames of each stream is read, spread over its length. Each finding
is one line. A line about one stream or annotation names session, participant and file.
"""

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.batches.statistics import block_rows
from damamba_jax.data.corpus.label_source import LabelSource
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.errors import DataFormatError
from damamba_jax.schema.missing import MAX_ABS, SENTINELS

# At most so many frames of each stream are read.
_FRAMES = 512
# A number counts as a sentinel if at least this share of the values, and at least so
# many values, are equal to it.
_SHARE = 0.005
_TIMES = 3
# A sentinel is farther from the other values than so many times their range.
_APART = 3.0
# Streams of a feature differ from each other, but not by such a factor.
_SCALE = 100.0
# Scales are compared if at least so many streams have values.
_PEOPLE = 3
# At most so many lines of the same kind are given in full.
_MOST_LINES = 5

# The kind of a finding, and the line about it.
Oddity: TypeAlias = tuple[str, str]


def find_oddities(
    sessions: Sequence[Session], cache_dir: str | os.PathLike | None
) -> list[str]:
    """Looks at the annotations and features of everybody.

    Args:
      sessions: all sessions of the corpus.
      cache_dir: the folder that keeps a binary copy of text files; without it, text is
        read each time.

    Returns:
      One line for each finding. Damaged files are passed over; the index reports them.
    """
    lines: list[Oddity] = []
    sizes: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    rated: dict[str, list[np.ndarray]] = defaultdict(list)
    for session in sessions:
        for person in session.participants:
            where = f"{session.split}/{session.id} {person.role}"
            try:
                lines += _labels(where, person, session, rated[session.split])
            except (DataFormatError, OSError):
                continue
        for person in session.participants:
            where = f"{session.split}/{session.id} {person.role}"
            for name, track in person.tracks.items():
                try:
                    frames = _sample(track, cache_dir)
                except (DataFormatError, OSError):
                    continue
                lines += _features(f"{where}: {name}", track, frames)
                sizes[name][f"{where}: {name}"] = _size(frames)
    for split, values in rated.items():
        lines += _constant_split(split, values)
    for found in sizes.values():
        lines += _scales(found)
    return _shortened([*lines, *_people(sessions)])


def _shortened(lines: Iterable[Oddity]) -> list[str]:
    """Returns the lines, but only the first few of each kind."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for kind, line in lines:
        kinds[kind].append(line)
    found = []
    for some in kinds.values():
        found += some[:_MOST_LINES]
        if len(some) > _MOST_LINES:
            found.append(f"... and {len(some) - _MOST_LINES} more like the last one.")
    return found


def _labels(
    where: str, person: Participant, session: Session, rated: list[np.ndarray]
) -> Iterator[Oddity]:
    """Yields findings about one annotation, in the annotation's own numbers."""
    if person.label_source is None:
        return
    values = np.concatenate([np.zeros(0), *_own_numbers(person.label_source)])
    values = values[np.isfinite(values)]
    if not len(values):
        yield "no label", f"{where}: no frame of {person.labels_path} has a label."
        return
    rated.append(values)
    low, high = session.label_range
    field = f"`data.label_range` = ({low:g}, {high:g})"
    marks = _sentinels(values, inside=(low, high))
    for mark in marks:
        yield (
            "label marks",
            f"{where}: {np.count_nonzero(values == mark)} labels are {mark:g}, which "
            f"programs often write for a missing value, in {person.labels_path}.",
        )
    values = values[~np.isin(values, marks)]
    outside = (values < low) | (values > high)
    if outside.any():
        share = outside.mean()
        scale = " Do they have another scale?" if share > 0.5 else ""
        yield (
            "label range",
            f"{where}: {share:.0%} of the labels lie outside of {field}, from "
            f"{values.min():g} to {values.max():g}, in {person.labels_path}.{scale}",
        )
    elif len(values) > 1 and values.min() == values.max():
        text = f"{where}: all labels are {values[0]:g}, in {person.labels_path}."
        yield "constant labels", text
    elif (
        not session.classes
        and high - low > 2.0
        and len(values) > 1
        and low <= 1
        and values.max() <= 1
    ):
        yield (
            "label scale",
            f"{where}: no label is above 1, although {field}. Do the labels in "
            f"{person.labels_path} have another scale?",
        )


def _own_numbers(source: LabelSource) -> Iterable[np.ndarray]:
    """Returns the values of each rater, in the annotation's own numbers."""
    plain = dataclasses.replace(source.scale, low=0.0, high=1.0)
    return dataclasses.replace(source, scale=plain).read_raters().values()


def _constant_split(split: str, values: Sequence[np.ndarray]) -> Iterator[Oddity]:
    found = np.concatenate([np.zeros(0), *values])
    if len(values) > 1 and found.min() == found.max():
        yield "split", f"{split}: all labels of all people are {found[0]:g}."


def _sentinels(
    values: np.ndarray, *, inside: tuple[float, float] | None = None
) -> list[float]:
    """Finds numbers that mark missing values: they are frequent, and far from others.

    Args:
      values: finite values.
      inside: a range whose numbers are never taken for such marks.
    """
    found = []
    for mark in SENTINELS:
        here = values == mark
        count = np.count_nonzero(here)
        if count < max(_TIMES, _SHARE * len(values)) or count == len(values):
            continue
        if inside and inside[0] <= mark <= inside[1]:
            continue
        others = values[~here]
        # Other marks do not say where the true values lie.
        others = others[~np.isin(others, SENTINELS)] if len(others) else others
        if not len(others):
            continue
        low, high = float(others.min()), float(others.max())
        if mark == -1.0 and low >= 0.0:
            found.append(mark)
        elif mark != -1.0 and _gap(mark, low, high) > _APART * max(high - low, 1e-9):
            found.append(mark)
    return found


def _gap(mark: float, low: float, high: float) -> float:
    return max(low - mark, mark - high, 0.0)


def _sample(
    track: Track, cache_dir: str | os.PathLike | None
) -> Float[np.ndarray, "T dim"]:
    """Reads some of the frames of a stream that were recorded, as float64."""
    stream = track.open(cache_dir)
    parts = [np.zeros((0, stream.data.shape[1]))]
    for first, last in block_rows(len(stream.data), _FRAMES).tolist():
        part = np.array(stream.data[first:last], np.float64)
        parts.append(part if stream.valid is None else part[stream.valid[first:last]])
    frames = np.concatenate(parts)
    kept = [c for c in range(frames.shape[1]) if c not in track.feature.drop_columns]
    frames = frames[:, kept]
    if track.feature.missing_value is not None:
        frames[frames == track.feature.missing_value] = np.nan
    return frames


def _features(where: str, track: Track, frames: np.ndarray) -> Iterator[Oddity]:
    """Yields findings about one stream; `frames` are some of its frames."""
    path, field = track.path, f"features.{track.feature.name}.missing_value"
    finite = np.isfinite(frames)
    if not finite.any():
        yield "no number", f"{where} holds no number at all, in {path}."
        return
    large = finite & (np.abs(frames) > MAX_ABS)
    if large.any():
        worst = frames[large][0]
        yield (
            "large values",
            f"{where} has values beyond {MAX_ABS:g}, such as {worst:.3g}, which count "
            f"as missing, in {path}.",
        )
    marks: dict[float, int] = {}
    for column, valid in zip(frames.T, (finite & ~large).T, strict=True):
        for mark in _sentinels(column[valid]):
            marks[mark] = marks.get(mark, 0) + 1
    for mark, columns in marks.items():
        yield (
            "marks",
            f"{where} is often {mark:g} in {columns} columns, in {path}. Many programs "
            f"write this number for a missing value. If it means that, set `{field}`.",
        )
    plain = np.where(finite & ~large, frames, np.nan)
    first = plain[np.isfinite(plain).all(axis=1)][:1]
    if len(plain) > 1 and len(first) and np.all((plain == first) | np.isnan(plain)):
        yield "constant", f"{where} never changes, in {path}."


def _size(frames: np.ndarray) -> Float[np.ndarray, "dim"]:
    """Returns the size of the values of each column; NaN for a column without any."""
    plain = np.where(np.abs(frames) <= MAX_ABS, np.abs(frames), np.nan)
    size = np.full(plain.shape[1], np.nan)
    known = np.isfinite(plain).any(axis=0)
    if known.any():
        size[known] = np.nanquantile(plain[:, known], 0.9, axis=0)
    return size


def _scales(sizes: Mapping[str, np.ndarray]) -> Iterator[Oddity]:
    """Yields findings about streams that are far larger or smaller than most others."""
    if len(sizes) < _PEOPLE or len({len(size) for size in sizes.values()}) > 1:
        return
    table = np.stack(list(sizes.values()))
    table[table == 0] = np.nan
    used = np.isfinite(table).sum(axis=0) >= _PEOPLE
    if not used.any():
        return
    table = np.log(table[:, used])
    usual = np.nanmedian(table, axis=0)
    for where, row in zip(sizes, table, strict=True):
        known = np.isfinite(row)
        if known.any():
            factor = float(np.exp(np.median((row - usual)[known])))
            if not 1 / _SCALE < factor < _SCALE:
                yield (
                    "scale",
                    f"{where} is {factor:.3g} times as large as that of most people. "
                    "Does it have another scale or unit?",
                )


def _people(sessions: Sequence[Session]) -> Iterator[Oddity]:
    """Yields findings about people in two splits, if the people are known."""
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for session in sessions:
        for person in sorted(session.people):
            where = f"{session.split}/{session.id}"
            places[person].setdefault(session.split, where)
    for person, split in places.items():
        if len(split) > 1:
            yield (
                "people",
                f"{person} is in {' and in '.join(split.values())}: a model that is "
                "tested on people whom it knows looks better than it is.",
            )
