"""Lists what a corpus holds, and what is wrong with it.

    python -m damamba_jax.inventory --root=DIR [--labels_root=DIR] [--features=a,b]
    python -m damamba_jax.inventory --config=FILE.py      # a corpus of your own

Prints every session, role and feature with width, rate (`40 -> 25` where the header is
wrong), frames and label coverage, a summary of each split, and every problem found.
Only headers and label files are read. The exit code is 1 when nothing can be read.
"""

import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import inventory
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.reporting.table import Table, plain, show
from damamba_jax.runtime.config_files import find_config_file
from damamba_jax.schema.release import RELEASED_FEATURES


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    try:
        argv = find_config_file(argv)
        values = _define_flags(argv)
        rest = values(list(argv))
        if values["help"].value:
            print(f"{__doc__}\nFlags:{values.main_module_help()}")
            return 0
        if len(rest) > 1:
            raise ValueError(f"expected flags only, got {rest[1]!r}; use --root=DIR.")
        root, labels_root, layout, features = _request(values)
        places = {"labels_root": labels_root, "layout": layout, "strict": False}
        found = corpus_index.index(root, features=features, **places)
        if not values["features"].value and values["config"].value is None:
            # Nobody asked for the streams that this corpus does not have at all.
            people = [p for session in found.sessions for p in session.participants]
            held = {name for participant in people for name in participant.tracks}
            features = [f for f in features if f.name in held] or features
            found = corpus_index.index(root, features=features, **places)
    except (flags.Error, ValueError, OSError) as error:
        print(f"inventory: {plain(str(error))}", file=sys.stderr)
        return 1
    readable = any(p.tracks for session in found.sessions for p in session.participants)
    _print_report(found, features)
    if not readable:
        print("inventory: no stream can be read.", file=sys.stderr)
    return 0 if readable else 1


def _define_flags(argv: Sequence[str]) -> flags.FlagValues:
    """Defines flags of this command alone: importing it defines none for others."""
    values = flags.FlagValues()

    def define(name: str, text: str) -> None:
        flags.DEFINE_string(name, "", text, flag_values=values, module_name=argv[0])

    define("root", "Folder of a corpus, or of several.")
    define("labels_root", "Where labels lie, if not with the features.")
    define(
        "features", "Names of features, with commas; else all that the corpus holds."
    )
    flags.DEFINE_boolean("help", False, "Shows this text.", flag_values=values)
    config_flags.DEFINE_config_file(
        "config",
        None,
        "Training configuration; gives what the other flags do not, and the layout.",
        flag_values=values,
        sys_argv=list(argv),
    )
    return values


def _request(
    values: flags.FlagValues,
) -> tuple[str, str, LayoutConfig | None, list[FeatureConfig]]:
    """Resolves the flags to `(root, labels_root, layout, features)`."""
    root, labels_root = values["root"].value or "", values["labels_root"].value or ""
    layout, table = None, dict(RELEASED_FEATURES)
    if values["config"].value is not None:
        # Only this needs the conversions.
        from damamba_jax.config.tree import from_config_dict

        # A file that cannot be loaded raises on the first use of the configuration.
        config = values["config"].value.copy_and_resolve_references()
        data = from_config_dict(config).data
        root, labels_root = root or data.root, labels_root or data.labels_root
        layout = data.layout
        table = {feature.name: feature for feature in data.features}
    if not root:
        raise ValueError("`--root`: expected the folder of a corpus, got nothing.")
    chosen = values["features"].value or ""
    names = [name for name in chosen.split(",") if name.strip()]
    unknown = [name for name in names if name.strip() not in table]
    if unknown:
        raise ValueError(
            f"`--features`: unknown feature {unknown[0]!r}. Known: {', '.join(table)}."
        )
    features = [table[name.strip()] for name in names] or list(table.values())
    return root, labels_root, layout, features


def _print_report(found: CorpusIndex, features: Sequence[FeatureConfig]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    problems = list(found.problems)
    coverage = inventory.label_coverage(found.sessions, problems)
    if found.simulated:
        console.print("simulated: this corpus was drawn, not recorded.")
    for split in dict.fromkeys(session.split for session in found.sessions):
        rows = tuple(inventory.session_rows(found.split(split), coverage))
        show(Table(title=split, columns=inventory.SESSION_COLUMNS, rows=rows), console)
    rows = tuple(inventory.split_rows(found, coverage))
    show(Table(title="summary", columns=inventory.SPLIT_COLUMNS, rows=rows), console)
    lines = [*inventory.feature_lines(found, features), f"\nproblems: {len(problems)}"]
    lines += [f"  {problem}" for problem in problems]
    for line in lines:
        console.print(plain(line), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
