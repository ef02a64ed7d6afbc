"""Shows a configuration: each field with its value, unit, range, source and meaning.

    damamba config show configs/noxi.py:demo [--config.FIELD=VALUE ...]

`paper` marks a value that the system's paper states; `ours` marks a choice of this
project. With `--markdown` the command prints a page in Markdown; `configs/README.md` is
the page of `configs/noxi.py`. Other systems have other fields in `model`: see
`configs/dat.py` and `configs/baseline.py`.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

import ml_collections
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from damamba_jax.config import show
from damamba_jax.reporting.table import Table, plain
from damamba_jax.reporting.table import show as show_table
from damamba_jax.runtime.command import make_console, run
from damamba_jax.runtime.config_files import find_config, packaged_configs
from damamba_jax.runtime.parser import Parser, one_of
from damamba_jax.runtime.stop import StopRequest

_COLUMNS = ("field", "value", "unit", "allowed", "source", "meaning")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    options = make_parser().parse(argv)
    overridden = [
        argument.removeprefix("--config.").partition("=")[0]
        for argument in argv
        if argument.startswith("--config.")
    ]
    run(functools.partial(_show, options, overridden), console=make_console())
    return 0


def _show(
    options: argparse.Namespace,
    overridden: Sequence[str],
    stop: StopRequest,
    console: Console,
) -> None:
    del stop
    file = find_config(options.config_file).partition(":")[0]
    texts = [
        Path(path).read_text("utf-8") for path in (file, packaged_configs() / "noxi.py")
    ]
    config, sources = options.config, show.Sources(texts, overridden)
    if options.markdown:
        console.print(to_markdown(config, sources), end="")
    else:
        print_tables(config, sources, console)


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("config", __doc__)
    parser.add_argument(
        "action", type=one_of("show"), metavar="show", help="the only action there is"
    )
    parser.add_config(flag="config")
    parser.add_argument(
        "--markdown", action="store_true", help="print a page in Markdown"
    )
    return parser


def to_markdown(config: ml_collections.ConfigDict, sources: show.Sources) -> str:
    """Writes the page of a configuration in Markdown.

    Args:
      config: the configuration.
      sources: where its values come from.
    """
    lines = [
        f"# Configuration `{config.name}`",
        "",
        "`damamba config show CONFIG --markdown` prints this page.",
        "`paper` marks a value that the system's paper states, `ours` a choice of this",
        "project. Any field can be set on the command line: `--config.optim.lr=3e-4`.",
        "Other systems have other fields in `model`.",
    ]
    for part in show.parts(config, sources):
        rows = [(f"`{row.path}`", *row[1:]) for row in part.rows]
        title = f"`{part.path}`: {part.title}" if part.path else part.title
        lines += ["", _table(title, _COLUMNS, rows).to_markdown().rstrip()]
    names, meanings = zip(*show.feature_columns(), strict=True)
    rows = show.feature_rows(config)
    lines += ["", _table("`features`: the streams in use", names, rows).to_markdown()]
    lines[-1] = lines[-1].rstrip()
    lines += ["", *(f"- {n}: {m}" for n, m in zip(names, meanings, strict=True))]
    return "\n".join(lines) + "\n"


def print_tables(
    config: ml_collections.ConfigDict, sources: show.Sources, console: Console
) -> None:
    """Prints a configuration on the console: as lines in a terminal, else as tables.

    Args:
      config: the configuration.
      sources: where its values come from.
      console: console that is printed on.
    """
    for part in show.parts(config, sources):
        title = f"{part.path}: {part.title}" if part.path else part.title
        if not console.is_terminal:
            show_table(_table(title, _COLUMNS, part.rows), console)
            continue
        # A table of six columns has too little room for sentences in a terminal.
        console.print(Text(title, style="bold"))
        for row in part.rows:
            console.print(plain(_line(row)))
            meaning = Padding(plain(row.meaning), (0, 0, 0, 4))
            console.print(meaning, style="dim", soft_wrap=False)
        console.print()
    names, meanings = zip(*show.feature_columns(), strict=True)
    rows = show.feature_rows(config)
    show_table(_table("features: the streams in use", names, rows), console)
    for name, meaning in zip(names, meanings, strict=True):
        console.print(plain(f"  {name}: {meaning}"))


def _line(row: show.Row) -> str:
    """Writes a field with its value and the source of the value."""
    value = f"{row.value} {row.unit}".rstrip()
    allowed = f"; allowed: {row.allowed}" if row.allowed else ""
    return f"{row.path} = {value}  ({row.source}{allowed})"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return Table(
        title=title, columns=tuple(columns), rows=tuple(tuple(row) for row in rows)
    )


if __name__ == "__main__":
    sys.exit(main())
