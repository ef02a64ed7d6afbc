"""Lists what a corpus holds, and what is wrong with it.

    python -m damamba_jax.inventory --root=DIR [--labels_root=DIR] [--features=a,b]
    python -m damamba_jax.inventory --config=FILE.py      # a corpus of your own

Prints every session, role and feature with width, rate (`40 -> 25` where the header is
wrong), frames and label coverage, a summary of each split, and every problem found.
Headers, labels and some frames of each stream are read. The exit code is 1 when nothing
can be read, and with `--strict` when there is any problem.
"""

import functools
import sys
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import inventory
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.oddities import find_oddities
from damamba_jax.errors import ConfigError
from damamba_jax.reporting.table import Table, plain, show
from damamba_jax.runtime.command import read_flags, run
from damamba_jax.runtime.config_files import find_config_file
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.schema.release import RELEASED_FEATURES


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    console = Console(highlight=False, markup=False, emoji=False)
    return run(functools.partial(_list, argv), console=console)


def _list(argv: Sequence[str], stop: StopRequest, console: Console) -> int:
    del stop  # Nothing is written: a signal ends the process at once.
    request = _read_request(argv)
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
    scale: Scale
    features: list[FeatureConfig]
    named: bool
    exclude: tuple[str, ...] = ()
    cache_dir: str = ""
    strict: bool = False


def _read_request(argv: Sequence[str]) -> _Request:
    """Reads the flags.

    Raises:
      ConfigError: for a wrong flag, no root, or an unknown feature.
    """
    argv = find_config_file(argv)
    # Of this command alone: importing it defines no flag for others.
    values = flags.FlagValues()
    for name, text in (
        ("root", "Folder of a corpus, or of several."),
        ("labels_root", "Where labels lie, if not with the features."),
        ("features", "Names, with commas; default all that the corpus holds."),
    ):
        flags.DEFINE_string(name, "", text, flag_values=values)
    flags.DEFINE_boolean(
        "strict", False, "Ends with 1 if there is any problem.", flag_values=values
    )
    config_flags.DEFINE_config_file(
        "config", None, "Training configuration; gives what the other flags do not, "
        "and the layout.", flag_values=values, sys_argv=argv,
    )  # fmt: skip
    read_flags(values, argv, __doc__ or "")
    root, labels_root = values.root, values.labels_root
    layout, scale, known = None, Scale(), dict(RELEASED_FEATURES)
    exclude, cache_dir = (), ""
    if values.config is not None:
        data = from_config_dict(values.config).data
        root, labels_root = root or data.root, labels_root or data.labels_root
        layout, scale = data.layout, Scale.of(data)
        exclude, cache_dir = data.exclude, data.cache_dir
        known = {feature.name: feature for feature in data.features}
    if not root:
        raise ConfigError("`--root`: expected the folder of a corpus, got nothing.")
    names = [name.strip() for name in values.features.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"`--features`: unknown feature {name!r}. Known: {', '.join(known)}."
            )
    features = [known[name] for name in names] or list(known.values())
    named = bool(names) or values.config is not None
    return _Request(
        root, labels_root, layout, scale, features, named, exclude, cache_dir,
        values.strict,
    )  # fmt: skip


def _print_report(
    found: CorpusIndex,
    features: Sequence[FeatureConfig],
    console: Console,
    cache_dir: str,
) -> int:
    """Prints everything; returns the number of problems."""
    problems = list(found.problems)
    coverage = inventory.label_coverage(found.sessions, problems)
    problems += find_oddities(found.sessions, cache_dir or None)
    if found.simulated:
        console.print("simulated: this corpus was drawn, not recorded.")
    for split in dict.fromkeys(session.split for session in found.sessions):
        rows = tuple(inventory.session_rows(found.split(split), coverage))
        show(Table(title=split, columns=inventory.SESSION_COLUMNS, rows=rows), console)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv))
