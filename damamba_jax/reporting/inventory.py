"""The inventory of a corpus on the console: sessions, splits, features, problems."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict
from rich.console import Console

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import inventory
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.oddities import find_oddities
from damamba_jax.errors import UsageError, nearest
from damamba_jax.reporting.table import Table, plain, show
from damamba_jax.schema.release import RELEASED_FEATURES


class Request(NamedTuple):
    """A request to list a corpus.

    Attributes:
      root, labels_root: folder of the corpus, and folder of its labels if that is
        another one.
      layout, scale, exclude, cache_dir: arguments of `data.corpus.index.index`.
      features: features to look for.
      named: whether the user chose the features.
    """

    root: str
    labels_root: str
    layout: LayoutConfig | None
    scale: Scale | None
    features: list[FeatureConfig]
    named: bool
    exclude: tuple[str, ...] = ()
    cache_dir: str = ""


class Listed(NamedTuple):
    """Outcome of a listing.

    Attributes:
      problems: number of problems.
      has_streams: whether any stream can be read.
    """

    problems: int
    has_streams: bool


def make_request(
    root: str, labels_root: str, names: Sequence[str], config: ConfigDict | None
) -> Request:
    """Makes a request from the flags of the command.

    Args:
      root, labels_root: folders of the corpus and of its labels; empty takes those of
        the configuration.
      names: names of features; empty means all features that are known.
      config: configuration of a custom corpus; `None` for a released one.

    Raises:
      UsageError: if no root is given, or if a feature is unknown.
      ConfigError: for a configuration with a wrong value.
    """
    layout, scale, known = None, None, dict(RELEASED_FEATURES)
    exclude, cache_dir = (), ""
    if config is not None:
        data = from_config_dict(config).data
        root, labels_root = root or data.root, labels_root or data.labels_root
        layout, scale = data.layout, Scale.of(data)
        exclude, cache_dir = data.exclude, data.cache_dir
        known = {feature.name: feature for feature in data.features}
    if not root:
        raise UsageError(
            "`--root`: expected the folder of a corpus, got nothing. Give --root=DIR, "
            "or --config=FILE.py with a `data.root`."
        )
    for name in names:
        if name not in known:
            raise UsageError(
                f"`--features`: unknown feature {name!r}{nearest(name, known)}"
            )
    features = [known[name] for name in names] or list(known.values())
    named = bool(names) or config is not None
    return Request(
        root, labels_root, layout, scale, features, named, exclude, cache_dir
    )


def list_corpus(request: Request, console: Console) -> Listed:
    """Reads a corpus and prints its inventory.

    Args:
      request: the corpus, and the features to look for.
      console: console that is printed on.

    Raises:
      CorpusError: if there is no corpus in the folder.
    """
    features = request.features
    search = functools.partial(
        corpus_index.index, request.root, labels_root=request.labels_root,
        layout=request.layout, scale=request.scale, strict=False,
        exclude=request.exclude, cache_dir=request.cache_dir,
    )  # fmt: skip
    found = search(features=features)
    if not request.named:
        # Features that this corpus does not have at all are left out, because nobody
        # asked for them.
        people = [p for session in found.sessions for p in session.participants]
        held = {name for participant in people for name in participant.tracks}
        features = [f for f in features if f.name in held] or features
        found = search(features=features)
    problems = _print_report(found, features, console, request.cache_dir)
    has_streams = any(p.tracks for s in found.sessions for p in s.participants)
    return Listed(problems, has_streams)


def _print_report(
    found: CorpusIndex,
    features: Sequence[FeatureConfig],
    console: Console,
    cache_dir: str,
) -> int:
    """Prints the inventory, and returns the number of problems."""
    problems = list(found.problems)
    coverage = inventory.label_coverage(found.sessions, problems)
    problems += find_oddities(found.sessions, cache_dir or None)
    if found.simulated:
        console.print("simulated: this corpus was drawn, not recorded.")
    for split in dict.fromkeys(session.split for session in found.sessions):
        rows = tuple(inventory.session_rows(found.split(split), coverage))
        show(
            Table(
                title=split,
                columns=inventory.SESSION_COLUMNS,
                rows=rows,
                names=("session",),
            ),
            console,
        )
    rows = tuple(inventory.split_rows(found, coverage))
    show(Table(title="summary", columns=inventory.SPLIT_COLUMNS, rows=rows), console)
    lines = [*inventory.feature_lines(found, features)]
    lines += inventory.rater_lines(found, coverage)
    lines += found.left_out
    lines.append(f"\nproblems: {len(problems)}")
    lines += [f"  {problem}" for problem in problems]
    for line in lines:
        console.print(plain(line), soft_wrap=True)
    return len(problems)
