"""Looks at a folder of recordings and guesses the configuration that reads it."""

import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from damamba_jax.config.fields import PLAIN_NAME
from damamba_jax.data.corpus.look import look
from damamba_jax.data.guess import durations, features, labels, page
from damamba_jax.data.guess.choice import choose
from damamba_jax.data.guess.clusters import Cluster
from damamba_jax.data.guess.features import Feature
from damamba_jax.data.guess.grouping import group, open_files
from damamba_jax.data.guess.labels import Labels
from damamba_jax.data.guess.names import MAX_ROLES
from damamba_jax.data.guess.page import Guess
from damamba_jax.data.guess.released import find_release
from damamba_jax.data.guess.write import Item, shown
from damamba_jax.errors import CorpusError

# A large network would learn so few sessions by heart.
_FEW = 50
_FOLDS = 5


def write_page(root: Path) -> str:
    """Looks at a folder and writes the configuration that reads it, as Python.

    Args:
      root: resolved folder.

    Raises:
      CorpusError: if nothing below the folder can be read as features.
      OSError: if the folder cannot be read.
    """
    released = find_release(root)
    if released is not None:
        return page.of_release(root, *released)
    return page.of_guess(guess(root))


def guess(root: Path) -> Guess:
    """Guesses a configuration from names, headers and first rows.

    Args:
      root: resolved folder.

    Raises:
      CorpusError: if nothing below the folder can be read as features.
    """
    seen = look(root)
    notes = [*seen.notes]
    clusters = group(open_files(root, seen.files, notes))
    sources, rated, given, turns = choose(clusters, notes)
    seconds = durations.measure(clusters)
    found = features.make_features(sources, labels=given, turns=turns, seconds=seconds)
    if not found:
        raise CorpusError(
            f"{root}: expected streams (.stream) or tables (.csv, .tsv, .npy, .npz, "
            ".parquet) of features, in a folder for each session or with the session "
            f"in their names; got {len(seen.files)} files, none of them of that kind."
        )
    chosen = rated[0] if rated else None
    made = None
    if chosen is not None:
        made = labels.make_labels(chosen, seconds=seconds, turns=turns)
        others = [c for c in rated[1:] if c.kind != "lines" or c.is_label_named]
        notes += [
            f"Other annotations, which are not used: {shown(other.pattern.text)}."
            for other in others
        ]
    found, made = _fill_rates(found, made)
    return _assemble(root, found, made, turns, notes)


def _fill_rates(
    found: Sequence[Feature], made: Labels | None
) -> tuple[list[Feature], Labels | None]:
    """Gives usual rates to features without a rate, so that all last equally long."""
    rows = {f.name: durations.typical_rows(f.cluster) for f in found if not f.rate}
    has_lines = made is not None and not made.rate
    if made is not None and has_lines:
        rows[""] = durations.typical_rows(made.cluster)
    rows = {name: number for name, number in rows.items() if number}
    rates = durations.fitting_rates(rows)
    why = "No file gives the rate. Set the rate: this is a guess with which all files "
    why += "last equally long."
    filled = [
        f if f.rate else f._replace(
            rate=rates.get(f.name, features.UNKNOWN_RATE), why_rate=why
        )
        for f in found
    ]  # fmt: skip
    if made is not None and has_lines:
        made = made._replace(rate=rates.get("", 25.0), why_rate=why)
    return filled, made


def _assemble(
    root: Path,
    found: Sequence[Feature],
    made: Labels | None,
    turns: Cluster | None,
    notes: list[str],
) -> Guess:
    roles, why_roles = _roles(found, made, notes)
    splits = _splits(found, notes)
    layout: dict[str, Item] = {
        "name": Item("mine", "The names of splits begin with it: mine/..."),
        "splits": Item(splits or ("all",), _why_splits(splits)),
        "roles": Item(roles, why_roles),
    }
    streams = [f for f in found if f.cluster.kind == "stream"]
    if streams:
        layout["feature_path"] = Item(_stream_path(streams, notes))
    if made is not None:
        layout |= labels.fields_of(made, roles)
    else:
        layout["label_path"] = Item(
            ("{split}/" if len(splits) > 1 else "") + "{session}/{role}.engagement.csv",
            "No annotations were found: set their place here before training.",
        )
    if _belongs_to_turns(found, made):
        if turns is not None:
            layout["turns"] = Item(labels.turns_of(turns), "It says when turns were.")
        else:
            notes.append(
                "No table says when turns were: set data.layout.turns before training."
            )
    settings = _settings(root, found, layout, made)
    settings |= _training(splits, _count_sessions(found))
    table = {f.name: features.fields_of(f) for f in found}
    name = re.sub(r"[^A-Za-z0-9]+", "_", root.name).strip("_")[:40] or "my_corpus"
    starts_small = len(roles) < 2 and _count_sessions(found) <= _FEW
    return Guess(name, table, settings, tuple(notes), starts_small)


def _belongs_to_turns(found: Sequence[Feature], made: Labels | None) -> bool:
    """Says whether files or ratings have no other place in time than their turn."""
    for feature in found:
        if "{turn}" in feature.cluster.pattern.text + feature.cluster.columns.key:
            return True
    return _rates_turns(made)


def _rates_turns(made: Labels | None) -> bool:
    """Says whether ratings have no other place in time than their turn."""
    if made is None:
        return False
    columns = made.cluster.columns
    return bool(columns.wide or columns.turn and not (columns.start or columns.time))


def _settings(
    root: Path,
    found: Sequence[Feature],
    layout: dict[str, Item],
    made: Labels | None,
) -> dict[str, Item]:
    settings = {
        "data.features": Item(",".join(f.name for f in found)),
        "data.root": Item(str(root)),
        "data.layout": Item(layout),
    }
    classes = labels.find_classes(made) if made is not None else ()
    if classes:
        why = "The annotations are words. If these are steps of a scale, put them in "
        why += "order and set data.classes_ordered = True."
        settings["data.classes"] = Item(",".join(classes), why)
        settings["optim.loss"] = Item("cross-entropy")
    elif made is not None:
        limits, why = labels.find_range(made)
        settings["data.label_range"] = Item(limits, why)
    if "turns" in layout and _rates_turns(made):
        why = "Ratings of whole turns are learned and scored turn by turn."
        settings["data.label_unit"] = Item("turn", why)
        settings["optim.loss"] = Item("cross-entropy-mean" if classes else "ccc-mean")
    roles = layout["roles"].value
    if isinstance(roles, tuple) and len(roles) < 2:
        settings["data.participants"] = Item(1, "Nobody has a partner.")
    if len({features.group_of(feature)[0] for feature in found}) < 2:
        why = "This loss compares two groups of features, and there is only one."
        settings["optim.infonce_weight"] = Item(0.0, why)
    return settings


def _training(splits: tuple[str, ...], sessions: int) -> dict[str, Item]:
    """Chooses the sessions that train, and those that validate."""
    train = [s for s in splits if s.lower().startswith("train")]
    others = [s for s in splits if s.lower().startswith(("val", "dev"))]
    others = others or [s for s in splits if s.lower().startswith(("test", "eval"))]
    if train and others:
        return {
            "data.train_splits": Item(",".join(f"mine/{s}" for s in train)),
            "data.val_split": Item(
                f"mine/{others[0]}", "The names of the folders say so."
            ),
        }
    names = train or list(splits) or ["all"]
    fields = {"data.train_splits": Item(",".join(f"mine/{s}" for s in names))}
    if sessions > 1:
        folds = min(_FOLDS, sessions)
        why = f"There are {sessions} sessions and no folder for validation: one of "
        why += f"every {folds} sessions validates."
        fields["data.num_folds"] = Item(folds, why)
    else:
        why = "The same session trains and validates, so that its scores mean nothing. "
        why += "Set data.num_folds as soon as there are more sessions."
        fields["data.val_split"] = Item(f"mine/{names[0]}", why)
    return fields


def _roles(
    found: Sequence[Feature], made: Labels | None, notes: list[str]
) -> tuple[tuple[str, ...], str]:
    """Finds the participants, and says how they are known."""
    names: dict[str, str] = {}
    for feature in found:
        people = feature.cluster.columns.people
        for name in people or feature.cluster.pattern.values("role"):
            names.setdefault(name.lower(), name)
    if not names and made is not None:
        people = list(labels.rated_people(made))
        if made.cluster.kind == "eaf":
            _, people = labels.tiers(made.cluster.contents, ())
        for name in people:
            names.setdefault(name.lower(), name)
    refused = [name for name in names.values() if not PLAIN_NAME.fullmatch(name)]
    roles = [name for name in names.values() if PLAIN_NAME.fullmatch(name)][:MAX_ROLES]
    if refused:
        notes.append(
            f"data.layout.roles may only have letters, digits, '_', '-' and '.', so "
            f"that {shown(refused[0])} is left out; rename it."
        )
    if not roles:
        return ("person",), "Nothing names people. One is assumed in each session."
    return tuple(sorted(roles)), "The names of files, or a column, name these people."


def _splits(found: Sequence[Feature], notes: list[str]) -> tuple[str, ...]:
    names: dict[str, str] = {}
    for feature in found:
        for value in feature.cluster.pattern.values("split"):
            names.setdefault(value.lower(), value)
    plain = [name for name in names.values() if PLAIN_NAME.fullmatch(name)]
    if len(plain) < len(names):
        notes.append(
            "data.layout.splits may only have letters, digits, '_', '-' and '.', so "
            "that some folders are left out; rename them."
        )
    return tuple(plain)


def _why_splits(splits: tuple[str, ...]) -> str:
    if splits:
        return "These folders hold the sessions."
    return "There are no folders of splits."


def _count_sessions(found: Sequence[Feature]) -> int:
    counts = [len(f.cluster.pattern.values("session")) for f in found]
    return int(statistics.median_high(counts)) if counts else 0


def _stream_path(streams: Sequence[Feature], notes: list[str]) -> str:
    """Returns the pattern of streams, with `{stem}` where names of features differ."""
    paths = []
    for feature in streams:
        stem = features.cluster_stems(feature.cluster)
        text = feature.cluster.pattern.text
        if stem:
            head, _, tail = text.rpartition(stem[0])
            text = f"{head}{{stem}}{tail}"
        paths.append(text)
    best = max(set(paths), key=paths.count)
    for feature, path in zip(streams, paths, strict=True):
        if path != best:
            notes.append(
                f"{feature.name} will not be found: it lies at {shown(path)}, but "
                "data.layout.feature_path is the only pattern of all streams."
            )
    return best
