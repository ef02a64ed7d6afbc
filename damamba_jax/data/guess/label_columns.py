"""Finds columns that hold annotations, and the clusters of files that have some."""

from damamba_jax.data.guess import words
from damamba_jax.data.guess.clusters import Cluster

# More columns than this are features, and not the annotations of several raters.
MAX_VALUES = 16
# These words may also name other things than annotations.
_WEAK = ("score", "value", "attention", "interest")
_STRONG = tuple(word for word in words.LABEL if word not in _WEAK)


def label_columns(cluster: Cluster) -> tuple[str, ...]:
    """Returns the columns of annotations; none if the tables hold only features."""
    columns = cluster.columns
    if columns.wide:
        return (columns.wide,)
    named = any(words.says(text, words.LABEL) for text in _texts(cluster))
    interval = bool(columns.start or columns.turn)
    raters = [v for v in columns.values if words.says(v, words.RATER)]
    if raters and len(raters) <= MAX_VALUES:
        return tuple(raters)
    for word in (*_STRONG, *(_WEAK if named or interval else ())):
        found = [v for v in columns.values if words.says(v, (word,))]
        if found and len(found) <= MAX_VALUES:
            return tuple(found)
    if classes := _class_columns(cluster):
        return classes
    if named and 0 < len(columns.values) <= MAX_VALUES:
        return columns.values
    about_turns = any(words.says(t, ("turn", "turns")) for t in _texts(cluster))
    guessed = interval and not about_turns and len(columns.values) < 4
    return columns.values[:1] if guessed else ()


def _class_columns(cluster: Cluster) -> tuple[str, ...]:
    """Returns the columns of classes, by their own names or by those of the files."""
    columns = cluster.columns
    for kinds in (words.RATER, (*_STRONG, *words.CLASS)):
        found = [name for name in columns.names if words.says(name, kinds)]
        if found:
            return tuple(found)
    kinds = (*words.LABEL, *words.CLASS, *words.RATER, "raters")
    named = any(words.says(text, kinds) for text in _texts(cluster))
    alone = not columns.values and len(columns.names) <= MAX_VALUES
    return columns.names if named and alone else ()


def _texts(cluster: Cluster) -> list[str]:
    return [*cluster.pattern.literals, *cluster.pattern_folders]


def is_turns(cluster: Cluster) -> bool:
    """Says whether tables only say when turns were."""
    columns = cluster.columns
    placed = bool(columns.end or columns.duration)
    return bool(columns.turn) and placed and not label_columns(cluster)


def rank(cluster: Cluster) -> tuple[int, ...]:
    """Returns a key to sort clusters of annotations; the likeliest one comes last."""
    texts = [*_texts(cluster), *label_columns(cluster)]
    found = [
        i for i, w in enumerate(words.LABEL) if any(words.says(t, (w,)) for t in texts)
    ]
    word = len(words.LABEL) - min(found) if found else 0
    kinds = {"nova": 2, "eaf": 2, "table": 1}
    return word, kinds.get(cluster.kind, 0), len(cluster.names)
