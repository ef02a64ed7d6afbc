"""Chooses the clusters that are read: features, annotations and turns."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from damamba_jax.data.corpus import patterns
from damamba_jax.data.guess import words
from damamba_jax.data.guess.clusters import Cluster
from damamba_jax.data.guess.columns import distinct
from damamba_jax.data.guess.label_columns import is_turns, label_columns, rank
from damamba_jax.data.guess.write import shown
from damamba_jax.errors import ConfigError


class Choice(NamedTuple):
    """The clusters that are read.

    Attributes:
      sources: clusters of features.
      rated: clusters that may hold annotations; the likeliest comes first.
      labels: columns of annotations in the tables of a cluster, by the cluster's `id`.
      turns: the cluster of tables that only say when turns were; `None` without one.
    """

    sources: list[Cluster]
    rated: list[Cluster]
    labels: Mapping[int, tuple[str, ...]]
    turns: Cluster | None


def choose(clusters: Sequence[Cluster], notes: list[str]) -> Choice:
    """Chooses the clusters that are read.

    Args:
      clusters: all clusters that were found.
      notes: gets a sentence about each cluster that is left out.
    """
    turns = max(filter(is_turns, clusters), key=_size, default=None)
    rated = _choose_labels(clusters, turns)
    labels = {id(c): label_columns(c) for c in rated if c.kind == "table"}
    sources = [c for c in clusters if _is_source(c, rated, turns)]
    sources = _largest(sources, notes)
    sources = _matching(sources, sources, notes)
    return Choice(sources, _matching(rated, sources, notes), labels, turns)


def _size(cluster: Cluster) -> int:
    return len(cluster.names)


def _choose_labels(clusters: Sequence[Cluster], turns: Cluster | None) -> list[Cluster]:
    """Returns the clusters that may hold annotations; the likeliest comes first."""
    found = [
        cluster
        for cluster in clusters
        if cluster is not turns
        and (
            cluster.kind in ("nova", "eaf")
            or (cluster.kind == "lines" and not _is_feature_named(cluster))
            or (cluster.kind == "table" and bool(label_columns(cluster)))
        )
        and not (cluster.columns.wide and turns is None)
    ]
    return sorted(found, key=rank, reverse=True)


def _is_feature_named(cluster: Cluster) -> bool:
    texts = [*cluster.pattern.literals, *cluster.pattern_folders]
    return any(map(words.is_stem, texts)) and not cluster.is_label_named


def _is_source(
    cluster: Cluster, rated: Sequence[Cluster], turns: Cluster | None
) -> bool:
    """Says whether a cluster holds features, perhaps in addition to annotations."""
    if cluster is turns or cluster.kind in ("nova", "eaf"):
        return False
    fields = cluster.pattern.text
    told = "{session}" in fields or "session" in cluster.columns.told
    if not told or cluster.columns.start or cluster.columns.wide:
        return False
    if cluster not in rated:
        return cluster.kind != "table" or bool(cluster.columns.values)
    # This is a table of features if most of its columns are not labels.
    named = {*label_columns(cluster)}
    rest = [v for v in cluster.columns.values if v not in named]
    return (
        cluster.kind == "table"
        and len(rest) > len(named)
        and not _is_only_rated(cluster)
    )


def _is_only_rated(cluster: Cluster) -> bool:
    texts = [*cluster.pattern.literals, *cluster.pattern_folders]
    return any(words.says(text, words.LABEL) for text in texts)


def _largest(clusters: Sequence[Cluster], notes: list[str]) -> list[Cluster]:
    """Keeps the cluster with the most files of those that have the same pattern."""
    found: dict[tuple, Cluster] = {}
    for cluster in sorted(clusters, key=_size, reverse=True):
        key = (
            cluster.pattern.text,
            cluster.kind == "stream" and cluster.contents[0].dim,
        )
        if key in found:
            odd = shown("/".join(cluster.names[0].path))
            notes.append(
                f"{len(cluster.names)} files have other columns than most files of "
                f"their kind, such as {odd}."
            )
            continue
        found[key] = cluster
    kept = set(map(id, found.values()))
    return [cluster for cluster in clusters if id(cluster) in kept]


def _matching(
    clusters: Sequence[Cluster], sources: Sequence[Cluster], notes: list[str]
) -> list[Cluster]:
    """Leaves out clusters whose files fit no known person or session.

    Args:
      clusters: the clusters that are looked at.
      sources: clusters of features; the largest one decides which fields are needed.
      notes: gets a sentence about each cluster that is left out.
    """
    main = max(sources, key=_size, default=None)
    if main is None:
        return [*clusters]
    wanted = {f for f in ("split", "role") if main.pattern.values(f)}
    wanted |= {"role"} if main.columns.role else set()
    sessions = _sessions(main)
    found = []
    for cluster in clusters:
        told = {f for f in wanted if f"{{{f}}}" in cluster.pattern.text}
        told |= cluster.columns.told | ({"role"} if cluster.kind == "eaf" else set())
        missing = sorted(wanted - told)
        fits = not sessions or not sessions.isdisjoint(_sessions(cluster))
        fits = fits or "{session}" in cluster.columns.key
        if missing or not fits or not _is_pattern(cluster.pattern.text):
            why = f"nothing tells the {missing[0]}" if missing else "it fits no session"
            notes.append(f"Not used: {shown(cluster.pattern.text)}; {why}.")
            continue
        found.append(cluster)
    return found


def _sessions(cluster: Cluster) -> set[str]:
    """Returns the sessions in names or columns, in lower case."""
    names = cluster.pattern.values("session")
    if cluster.columns.session:
        names = [*distinct(cluster.contents, cluster.columns.session)]
    return {name.lower() for name in names}


def _is_pattern(text: str) -> bool:
    """Says whether a layout accepts the pattern; it refuses names with a backslash."""
    try:
        patterns.check_pattern(text, name="files", required=())
    except ConfigError:
        return False
    return True
