"""Makes features of clusters of files: names, widths, groups, rates and columns."""

import dataclasses
import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from damamba_jax.data.formats.presets import PRESETS
from damamba_jax.data.guess import durations, words
from damamba_jax.data.guess.clusters import Cluster, split_by
from damamba_jax.data.guess.contents import array_of
from damamba_jax.data.guess.write import Item, shown

# At most so many columns are written one by one.
_MAX_LISTED = 16
# The columns by which the tables of a program are recognised.
_MARKS = {
    "openface": ("timestamp", "success", "confidence", "AU*_r"),
    "opensmile": ("frameTime", "*_sma*"),
    "pyfeat": ("FaceScore", "frame", "AU01"),
    "mediapipe": ("timestamp_ms", "browDownLeft"),
}
# OpenPose gives two numbers for each joint of the body.
_OPENPOSE_DIM = 50
UNKNOWN_RATE = 25.0
_HELD_RATE = 10.0


class Feature(NamedTuple):
    """One feature.

    Attributes:
      name: name of the feature; all names are different.
      cluster: files of the feature.
      columns: names of its columns; empty for all columns.
      dim: number of its columns.
      preset: the program that wrote its tables; empty if it is unknown.
      rate: frames per second, Hz; 0 as long as it is unknown.
      why_rate: a sentence that says how the rate is known.
    """

    name: str
    cluster: Cluster
    columns: tuple[str, ...]
    dim: int
    preset: str
    rate: float
    why_rate: str


def find_preset(columns: Sequence[str]) -> str:
    """Returns the program that writes such columns; empty if it is unknown."""
    for preset, marks in _MARKS.items():
        if all(fnmatch.filter(columns, mark) for mark in marks):
            return preset
    return ""


def split_features(cluster: Cluster) -> list[Cluster]:
    """Splits files with the same columns by stem, and npz files by array."""
    found = split_by(cluster, "stem")
    arrays = {array_of(c) for c in cluster.columns.values if array_of(c) != c}
    if cluster.names[0].suffix.lower() != ".npz" or len(arrays) < 2:
        return found
    return [_array(part, array) for part in found for array in sorted(arrays)]


def _array(cluster: Cluster, array: str) -> Cluster:
    values = tuple(c for c in cluster.columns.values if array_of(c) == array)
    contents = tuple(
        content._replace(columns=values, rows=content.lengths.get(array, content.rows))
        for content in cluster.contents
    )
    pattern = dataclasses.replace(
        cluster.pattern, literals=(*cluster.pattern.literals, array)
    )
    columns = dataclasses.replace(cluster.columns, values=values)
    return dataclasses.replace(
        cluster, contents=contents, pattern=pattern, columns=columns
    )


def make_features(
    clusters: Sequence[Cluster],
    *,
    labels: Mapping[int, tuple[str, ...]],
    turns: Cluster | None,
    seconds: Mapping[str, float],
) -> list[Feature]:
    """Makes features of clusters, with their rates as far as these are known.

    Args:
      clusters: clusters of features.
      labels: columns of annotations in the tables of a cluster, by the cluster's `id`.
      turns: tables of turns; `None` without any.
      seconds: lengths of sessions by name, s.
    """
    found: list[Feature] = []
    for whole in clusters:
        others = set(labels.get(id(whole), ()))
        for cluster in split_features(whole):
            first = cluster.contents[0]
            values = tuple(c for c in cluster.columns.values if c not in others)
            preset, columns, dim = "", values, len(values)
            if cluster.kind == "stream":
                columns, dim = (), first.dim
            elif cluster.kind == "openpose":
                preset, columns, dim = "openpose", (), _OPENPOSE_DIM
            elif cluster.kind == "lines":
                columns, dim = (), 1
            elif preset := find_preset(first.columns):
                columns, dim = _of_preset(preset, first.columns)
            if not dim:
                continue
            rate, why = _rate(cluster, preset, turns, seconds)
            name = _name(cluster, preset, {feature.name for feature in found})
            found.append(Feature(name, cluster, columns, dim, preset, rate, why))
    return found


def _of_preset(preset: str, names: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Returns columns to name, unless the preset names them, and their number."""
    patterns = PRESETS[preset]["columns"]
    known = [p for p in patterns if fnmatch.filter(names, p)]
    matched = {n for p in known for n in names if fnmatch.fnmatchcase(n, p)}
    return (() if len(known) == len(patterns) else tuple(known)), len(matched)


def _rate(
    cluster: Cluster,
    preset: str,
    turns: Cluster | None,
    seconds: Mapping[str, float],
) -> tuple[float, str]:
    columns = cluster.columns
    if holds(cluster):
        return _HELD_RATE, "One row holds for a whole turn, so that any rate will do."
    rates = [c.rate for c in cluster.contents if c.rate]
    if cluster.kind == "stream":
        if rates:
            rate = max(set(rates), key=rates.count)
            return rate, "The headers give this rate."
    elif preset and PRESETS[preset].get("time", "") != columns.time:
        pass  # The times are those of the preset, which may count frames.
    elif columns.time and columns.unit != "frames":
        if rate := durations.time_rate(cluster):
            return rate, f"The column {shown(columns.time)} has steps of this rate."
    if "turn" in cluster.pattern.text and turns is not None:
        if rate := durations.rate_by_turns(cluster, turns):
            return rate, "This is the number of rows of a turn, divided by its length."
    if rate := durations.rate_by_length(cluster, seconds):
        return rate, (
            "This is the number of rows, divided by the length of the session in "
            "other files."
        )
    return 0.0, ""


def _name(cluster: Cluster, preset: str, taken: set[str]) -> str:
    """Makes a name from the names of the files, such as `voice`, that is not taken."""
    suffix = cluster.names[0].suffix.lstrip(".").lower()
    texts = [t for t in (*cluster.pattern_folders, *cluster.pattern.literals) if t]
    telling = [t for t in texts if words.is_stem(t)] or cluster_stems(cluster)
    raw = "_".join(telling[-1:]) or preset or "_".join(texts[-1:]) or suffix
    plain = re.sub(r"[^a-z0-9]+", "_", raw.lower()).strip("_") or "feature"
    plain = plain if plain[0].isalpha() else f"f_{plain}"
    number, name = 1, plain[:40]
    while name in taken:
        number += 1
        name = f"{plain[:40]}_{number}"
    return name


def cluster_stems(cluster: Cluster) -> list[str]:
    """Returns the stem of a cluster of streams: the text after the last field.

    Returns:
      The stem, or nothing for other clusters and streams without a stem.
    """
    if cluster.kind != "stream":
        return []
    tail = cluster.pattern.text.rpartition("}")[2].rpartition("/")[2]
    stem = tail.rpartition(".")[0].lstrip("._- ")
    return [stem] if stem else [*cluster.pattern.literals[-1:]]


def group_of(feature: Feature) -> tuple[str, str]:
    """Guesses the modality group of a feature, and returns it with the reason."""
    if group := {"opensmile": "audio", "": ""}.get(feature.preset, "visual"):
        return group, f"The columns are those of {feature.preset}."
    pattern = feature.cluster.pattern
    names = [feature.name, *feature.cluster.pattern_folders, *pattern.literals]
    if group := words.group_of(names):
        return group, "The names of the files say so."
    if group := words.group_of([*feature.columns]):
        return group, "The names of the columns say so."
    return "visual", "Nothing tells the group. If it is audio, set it to 'audio'."


def fields_of(feature: Feature) -> Item:
    """Returns the fields of a feature in the configuration, each with its reason."""
    cluster, columns = feature.cluster, feature.cluster.columns
    group, why_group = group_of(feature)
    why_dim = "This is the number of columns."
    if cluster.kind == "stream":
        why_dim = "The headers give this number of columns."
    fields = {
        "dim": Item(feature.dim, why_dim),
        "group": Item(group, why_group),
        "rate": Item(feature.rate or UNKNOWN_RATE, feature.why_rate),
    }
    example = shown("/".join(cluster.names[0].path))
    reason = f"{len(cluster.names)} files of it were opened, such as {example}."
    if cluster.kind == "stream":
        fields["stems"] = Item(tuple(cluster_stems(cluster)))
        return Item(fields, reason)
    table: dict[str, Item] = {}
    if feature.preset:
        table["preset"] = Item(feature.preset, "The columns are those of this program.")
    table["files"] = Item(cluster.pattern.text)
    if feature.columns and not _takes_all(feature):
        table["columns"] = Item(feature.columns)
    elif not feature.preset and feature.columns:
        table["columns"] = Item((), "All columns are read that no other field names.")
    if columns.rows:
        table["rows"] = Item(columns.rows, "The column says to whom a row belongs.")
    if columns.time and not feature.preset:
        table["time"] = Item(columns.time)
        if columns.unit != "s":
            why = f"This is the unit of {shown(columns.time)}."
            table["time_unit"] = Item(columns.unit, why)
    table |= _time_zero(feature)
    if holds(cluster):
        table["hold"] = Item(True, "There is one row for each turn.")
    fields["table"] = Item(table)
    return Item(fields, reason)


def _takes_all(feature: Feature) -> bool:
    """Says whether all columns, except for those about its rows, form the feature."""
    columns = feature.cluster.columns
    named = {columns.role, columns.session, columns.rater, columns.time, ""}
    named.add(columns.key.partition("=")[0])
    others = set(feature.cluster.contents[0].columns) - set(feature.columns) - named
    npz = feature.cluster.names[0].suffix.lower() == ".npz"
    return len(feature.columns) > _MAX_LISTED and not others and not npz


def holds(cluster: Cluster) -> bool:
    """Says whether a table has one row for each turn, as statistics of turns have."""
    return "{turn}" in cluster.columns.key and not cluster.columns.time


def _time_zero(feature: Feature) -> dict[str, Item]:
    """Returns the field `time_zero` if times do not start with the recording."""
    cluster = feature.cluster
    own = PRESETS.get(feature.preset, {}).get("time", "")
    name = own if feature.preset else cluster.columns.time
    times = [c.numbers[name] for c in cluster.contents if name in c.numbers]
    firsts = [float(np.nanmin(t)) for t in times if np.isfinite(t).any()]
    if not firsts:
        return {}
    if "{turn}" in cluster.pattern.text and firsts.count(min(firsts)) > len(firsts) / 2:
        return {"time_zero": Item("turn", "The times of each turn begin again.")}
    in_ms = words.in_milliseconds(name) or cluster.columns.unit == "ms"
    # A recording does not last for years, so such times are dates.
    if firsts[0] * (1e-3 if in_ms else 1.0) > 1e8:
        return {"time_zero": Item("first", "The times are dates.")}
    return {}
