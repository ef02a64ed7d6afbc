"""Describes annotations in clusters of files: times, raters, range and rate."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from damamba_jax.data.guess import durations
from damamba_jax.data.guess.clusters import Cluster
from damamba_jax.data.guess.columns import Columns, distinct, in_seconds
from damamba_jax.data.guess.label_columns import MAX_VALUES, label_columns
from damamba_jax.data.guess.names import MAX_ROLES
from damamba_jax.data.guess.write import Item, shown
from damamba_jax.schema.missing import SENTINELS

# Usual ranges of ratings.
_RANGES = (
    (0.0, 1.0), (1.0, 5.0), (-1.0, 1.0), (1.0, 7.0), (0.0, 5.0), (1.0, 9.0),
    (1.0, 10.0), (0.0, 10.0), (-5.0, 5.0), (0.0, 100.0), (-100.0, 100.0),
)  # fmt: skip
_INTERVAL_RATES = (10.0, 25.0)


class Labels(NamedTuple):
    """The annotations of a corpus.

    Attributes:
      cluster: files of the annotations.
      columns: columns of the values.
      values: the field `values` of the layout.
      rate: rate of the annotations, Hz; 0 as long as it is unknown.
      why_rate: a sentence that says how the rate is known.
    """

    cluster: Cluster
    columns: tuple[str, ...]
    values: tuple[str, ...]
    rate: float
    why_rate: str


def make_labels(
    cluster: Cluster, *, seconds: Mapping[str, float], turns: Cluster | None
) -> Labels:
    """Describes the annotations of a cluster, with their rate if it is known."""
    columns = label_columns(cluster)
    values = () if cluster.columns.wide else _rater_pattern(columns)
    rate, why = _rate(cluster, seconds, turns)
    return Labels(cluster, columns, values or columns, rate, why)


def _rater_pattern(columns: Sequence[str]) -> tuple[str, ...]:
    """Returns a pattern for columns such as `rater_ann` and `rater_bob`, or nothing."""
    if len(columns) < 2:
        return ()
    prefix = os.path.commonprefix(list(columns))
    separated = re.match(r"(.*[\W_])", prefix)
    if separated:
        prefix = separated[1]
    elif not all(name[len(prefix) :].isdigit() for name in columns):
        return ()
    if not prefix or prefix in columns:
        return ()
    return (prefix.replace("{", "{{").replace("}", "}}") + "{rater}",)


def _rate(
    cluster: Cluster, seconds: Mapping[str, float], turns: Cluster | None
) -> tuple[float, str]:
    columns = cluster.columns
    if cluster.kind == "nova":
        rates = [content.rate for content in cluster.contents if content.rate]
        if rates:
            return max(set(rates), key=rates.count), "The headers give this rate."
    elif cluster.kind == "table" and columns.time:
        if rate := durations.time_rate(cluster):
            return rate, f"The column {shown(columns.time)} has steps of this rate."
    elif cluster.kind == "lines" or not (
        columns.start or columns.turn or columns.wide or cluster.kind != "table"
    ):
        if rate := durations.rate_by_length(cluster, seconds):
            why = "This is the number of lines, divided by the length of the session."
            return rate, why
        return 0.0, ""
    edges = np.concatenate([np.zeros(1), *_edges(turns), *_edges(cluster)])
    for rate in _INTERVAL_RATES:
        places = edges[np.isfinite(edges)] * rate
        if np.allclose(places, np.round(places), atol=1e-3):
            return rate, "Intervals begin and end on the frames of this rate."
    return _INTERVAL_RATES[-1], "Intervals are sampled at this rate."


def _edges(cluster: Cluster | None) -> list[np.ndarray]:
    """Returns the times at which intervals begin and end, s."""
    if cluster is None:
        return []
    names = [n for n in (cluster.columns.start, cluster.columns.end) if n]
    found = [in_seconds(c, cluster.columns, n) for c in cluster.contents for n in names]
    if cluster.columns.duration:
        for content in cluster.contents:
            found.append(in_seconds(content, cluster.columns, cluster.columns.duration))
    return found


def find_classes(labels: Labels) -> tuple[str, ...]:
    """Returns the names of the classes in alphabetical order; none for numbers."""
    if not set(labels.columns) <= set(labels.cluster.columns.names):
        return ()
    contents = labels.cluster.contents
    names = [name for c in labels.columns for name in distinct(contents, c)]
    return tuple(sorted({name.casefold(): name for name in names}.values()))


def find_range(labels: Labels) -> tuple[tuple[float, float], str]:
    """Returns the lowest and the highest value, and says how they are known."""
    limits = [c.limits for c in labels.cluster.contents if c.limits]
    if limits:
        low, high = min(a for a, _ in limits), max(b for _, b in limits)
        return (low, high), "The headers give this range."
    values = _values(labels)
    if not len(values):
        return (0.0, 1.0), "No value was seen. Set the lowest and the highest value."
    plain = values[~np.isin(values, SENTINELS)]
    odd = sorted(set(values[np.isin(values, SENTINELS)].tolist()))
    # A number such as -1 is a value, and not a mark, if other values are near it.
    if not len(plain) or any(_fits(v, plain) for v in odd):
        plain, odd = values, []
    low, high = float(plain.min()), float(plain.max())
    seen = f"Values from {low:.4g} to {high:.4g} were seen"
    if odd:
        marks = ", ".join(f"{value:g}" for value in odd)
        seen += f", and also {marks}, which will count as not rated"
    for a, b in _RANGES:
        near = high - low >= 0.3 * (b - a) or (a, b) == (0.0, 1.0)
        if a <= low and high <= b and near:
            return (a, b), f"{seen}. This is the usual range that holds them."
    a, b = math.floor(low), math.ceil(high)
    return (float(a), float(max(b, a + 1))), f"{seen}. Check both ends of the range."


def _fits(value: float, others: np.ndarray) -> bool:
    """Says whether a number that may mark a gap lies among the other values."""
    spread = float(others.max() - others.min())
    return bool(others.min() - 0.1 * spread <= value <= others.max() + 0.1 * spread)


def _values(labels: Labels) -> np.ndarray:
    columns: Sequence[str] = labels.columns
    contents = labels.cluster.contents
    if labels.cluster.kind == "lines":
        columns = ("",)
    elif labels.cluster.kind == "eaf":
        columns = tuple({name for content in contents for name in content.numbers})
    elif labels.cluster.columns.wide:
        stem = labels.cluster.columns.wide.partition("{turn}")[0]
        stem = stem.replace("{{", "{").replace("}}", "}")
        columns = [c for c in contents[0].numbers if c.startswith(stem)]
    found = [c.numbers[n] for c in contents for n in columns if n in c.numbers]
    values = np.concatenate([np.zeros(0), *found])
    return values[np.isfinite(values)]


def tiers(contents: Sequence, roles: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the pattern of ELAN's tiers, and the people whom it finds.

    Args:
      contents: contents of ELAN files.
      roles: participants that are known; if there are none, each tier is a person.
    """
    names = list(dict.fromkeys(name for c in contents for name in c.numbers))
    known = {role.lower(): role for role in roles}
    if not known:
        return "{role}", names[:MAX_ROLES]
    patterns: dict[str, list[str]] = {}
    for name in names:
        parts = re.split(r"([\W_]+)", name)
        here = [i for i, part in enumerate(parts) if part.lower() in known]
        if name.lower() in known:
            patterns.setdefault("{role}", []).append(known[name.lower()])
        elif here:
            plain = [p.replace("{", "{{").replace("}", "}}") for p in parts]
            plain[here[0]] = "{role}"
            patterns.setdefault("".join(plain), []).append(
                known[parts[here[0]].lower()]
            )
    if not patterns:
        return "{role}", names[:MAX_ROLES]
    best = max(patterns, key=lambda p: (len(set(patterns[p])), -len(p)))
    same = [p for p in patterns if len(set(patterns[p])) == len(set(patterns[best]))]
    return _with_raters(best, same), patterns[best]


def _with_raters(best: str, patterns: Sequence[str]) -> str:
    """Puts `{rater}` in the place of the one word in which patterns of tiers differ."""
    split = [re.split(r"([ ._\-]+)", pattern) for pattern in patterns]
    if len(patterns) < 2 or len({len(parts) for parts in split}) > 1:
        return best
    columns = list(zip(*split, strict=True))
    open_cells = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    if len(open_cells) != 1 or "{role}" in columns[open_cells[0]]:
        return best
    parts = list(split[0])
    parts[open_cells[0]] = "{rater}"
    return "".join(parts)


def fields_of(labels: Labels, roles: Sequence[str]) -> dict[str, Item]:
    """Returns the fields of the layout that describe annotations."""
    cluster, columns = labels.cluster, labels.cluster.columns
    example = shown("/".join(cluster.names[0].path))
    why = f"These are the annotations, such as {example}."
    fields = {"label_path": Item(cluster.pattern.text, why)}
    rate = labels.rate or durations.usual_rate(25.0)
    fields["label_rate"] = Item(rate, labels.why_rate)
    reading: dict[str, Item] = {}
    if cluster.kind == "eaf":
        tier, _ = tiers(cluster.contents, roles)
        if tier != "{role}":
            reading["tier"] = Item(tier, "The tiers have such names.")
    elif cluster.kind == "table":
        reading = _table_fields(labels, columns)
    if reading:
        fields["labels"] = Item(reading)
    return fields


def _table_fields(labels: Labels, columns: Columns) -> dict[str, Item]:
    others = [v for v in columns.values if v not in labels.columns]
    reason = "The names of the columns say so."
    if others and len(others) < MAX_VALUES:
        reason += f" Other columns of numbers: {', '.join(map(shown, others))}."
    fields = {"values": Item(labels.values, reason)}
    for part in ("time", "start", "end"):
        if getattr(columns, part):
            fields[part] = Item(getattr(columns, part))
    if columns.turn and not (columns.time or columns.start):
        fields["turn"] = Item(columns.turn)
    if columns.rows:
        fields["rows"] = Item(columns.rows, "The columns say to whom a row belongs.")
    if columns.unit != "s":
        fields["time_unit"] = Item(columns.unit)
    return fields


def turns_of(cluster: Cluster) -> dict[str, Item]:
    """Returns the fields of `data.layout.turns`."""
    columns = cluster.columns
    fields = {"files": Item(cluster.pattern.text), "turn": Item(columns.turn)}
    if columns.start:
        fields["start"] = Item(columns.start)
    if columns.end:
        fields["end"] = Item(columns.end)
    else:
        fields["duration"] = Item(columns.duration)
    if columns.rows:
        fields["rows"] = Item(columns.rows, "The columns say to whom a turn belongs.")
    if columns.unit != "s":
        fields["time_unit"] = Item(columns.unit)
    return fields


def rated_people(labels: Labels) -> tuple[str, ...]:
    """Returns the people whom the annotations name, in columns or in files' names."""
    columns = labels.cluster.columns
    if columns.role:
        return distinct(labels.cluster.contents, columns.role)
    return tuple(labels.cluster.pattern.values("role"))
