"""Lists what a corpus holds, and what is wrong with it.

    damamba inventory --root=DIR [--labels_root=DIR] [--features=a,b]
    damamba inventory --config=FILE.py      # a corpus of your own

Prints every session, role and feature with width, rate (`40 -> 25` where the header is
wrong), frames and label coverage, a summary of each split, and every problem found.
Headers, labels and some frames of each stream are read. The exit code is 1 when nothing
can be read, and with `--strict` when there is any problem.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import inventory
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.errors import UsageError, nearest
from damamba_jax.reporting.table import Table, plain, show
from damamba_jax.runtime.command import make_console, run
from damamba_jax.runtime.parser import Parser, split_names
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.schema.release import RELEASED_FEATURES


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    return run(functools.partial(_list, options), console=make_console())


def _list(options: argparse.Namespace, stop: StopRequest, console: Console) -> int:
    del stop  # Nothing is written: a signal ends the process at once.
    request = _read_request(options)
    features = request.features
    search = functools.partial(
        corpus_index.index, request.root, labels_root=request.labels_root,
        layout=request.layout, scale=request.scale, strict=False,
        exclude=request.exclude, cache_dir=request.cache_dir,
    )  # fmt: skip
    found = search(features=features)
    if not request.named:
        # Nobody asked for the streams that this corpus does not have at all.
        people = [p for session in found.sessions for p in session.participants]
        held = {name for participant in people for name in participant.tracks}
        features = [f for f in features if f.name in held] or features
        found = search(features=features)
    problems = _print_report(found, features, console, request.cache_dir)
    if not any(p.tracks for s in found.sessions for p in s.participants):
        print("inventory: no stream can be read.", file=sys.stderr)
        return 1
    return 1 if request.strict and problems else 0


class _Request(NamedTuple):
    """What is to be listed; `named` says whether somebody chose the features."""

    root: str
    labels_root: str
    layout: LayoutConfig | None
    scale: Scale | None
    features: list[FeatureConfig]
    named: bool
    exclude: tuple[str, ...] = ()
    cache_dir: str = ""
    strict: bool = False


def _read_request(options: argparse.Namespace) -> _Request:
    """Makes a request of the flags.

    Raises:
      UsageError: for no root, or an unknown feature.
      ConfigError: for a configuration with a wrong value.
    """
    root, labels_root = options.root, options.labels_root
    layout, scale, known = None, None, dict(RELEASED_FEATURES)
    exclude, cache_dir = (), ""
    if options.config is not None:
        data = from_config_dict(options.config).data
        root, labels_root = root or data.root, labels_root or data.labels_root
        layout, scale = data.layout, Scale.of(data)
        exclude, cache_dir = data.exclude, data.cache_dir
        known = {feature.name: feature for feature in data.features}
    if not root:
        raise UsageError(
            "`--root`: expected the folder of a corpus, got nothing. Give --root=DIR, "
            "or --config=FILE.py with a `data.root`."
        )
    names = options.features
    for name in names:
        if name not in known:
            raise UsageError(
                f"`--features`: unknown feature {name!r}{nearest(name, known)}"
            )
    features = [known[name] for name in names] or list(known.values())
    named = bool(names) or options.config is not None
    return _Request(
        root, labels_root, layout, scale, features, named, exclude, cache_dir,
        options.strict,
    )  # fmt: skip


def _print_report(
    found: CorpusIndex,
    features: Sequence[FeatureConfig],
    console: Console,
    cache_dir: str,
) -> int:
    """Prints everything; returns the number of problems."""
    # It brings JAX, which `--help` need not wait for.
    from damamba_jax.data.oddities import find_oddities

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


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("inventory", __doc__)
    add = parser.add_argument
    add("--root", default="", metavar="DIR", help="folder of a corpus, or of several")
    add(
        "--labels_root", default="", metavar="DIR",
        help="where labels lie, if not with the features",
    )  # fmt: skip
    add(
        "--features", type=split_names, default=(), metavar="A,B",
        help="names; default: all that the corpus holds",
    )  # fmt: skip
    parser.add_config()
    add("--strict", action="store_true", help="exit status 1 if there is any problem")
    return parser


if __name__ == "__main__":
    sys.exit(main())
