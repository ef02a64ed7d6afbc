"""Shows a configuration: each field with value, unit, range, source and meaning.

    python -m damamba_jax.config show configs/noxi.py:demo [--config.FIELD=VALUE ...]

`paper` marks a value that the paper of the system states; `ours` marks a choice of this
project. `--markdown` prints a page instead; `configs/README.md` is the page of
`configs/noxi.py`. Other systems have other fields in `model`: see `configs/dat.py` and
`configs/baseline.py`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import ml_collections
from absl import app, flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config import show
from damamba_jax.configs import noxi
from damamba_jax.reporting.table import Table, plain
from damamba_jax.reporting.table import show as show_table
from damamba_jax.runtime.command import USER_ERRORS, parse_flags

_USAGE = "usage: python -m damamba_jax.config show CONFIG [--config.FIELD=VALUE ...]"
_COLUMNS = ("field", "value", "unit", "allowed", "source", "meaning")


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    del argv
    texts = [Path(path).read_text("utf-8") for path in (_file(), noxi.__file__)]
    overridden = [
        argument.partition("=")[0].partition(".")[2]
        for argument in sys.argv
        if argument.lstrip("-").startswith("config.")
    ]
    try:
        config, sources = _CONFIG.value, show.Sources(texts, overridden)
        if _MARKDOWN.value:
            print(to_markdown(config, sources), end="")
        else:
            print_tables(config, sources, Console())
    except USER_ERRORS as error:
        sys.exit(f"error: {error}")


def to_markdown(config: ml_collections.ConfigDict, sources: show.Sources) -> str:
    """Writes the page of a configuration."""
    lines = [
        f"# Configuration `{config.name}`",
        "",
        "`python -m damamba_jax.config show CONFIG --markdown` prints this page.",
        "`paper` marks what the paper of the system states, `ours` what this project",
        "chose. Any field can be set on the command line: `--config.optim.lr=3e-4`.",
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
    """Prints the same in a terminal."""
    for part in show.parts(config, sources):
        title = f"{part.path}: {part.title}" if part.path else part.title
        show_table(_table(title, _COLUMNS, part.rows), console)
    names, meanings = zip(*show.feature_columns(), strict=True)
    rows = show.feature_rows(config)
    show_table(_table("features: the streams in use", names, rows), console)
    for name, meaning in zip(names, meanings, strict=True):
        console.print(plain(f"  {name}: {meaning}"))


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return Table(
        title=title, columns=tuple(columns), rows=tuple(tuple(row) for row in rows)
    )


def _parse(argv: Sequence[str]) -> list[str]:
    """Reads `show CONFIG`, then flags."""
    if len(argv) < 3 or argv[1] != "show" or argv[2].startswith("-"):
        if {"--help", "-h", "--helpfull"} & set(argv):
            return parse_flags(argv)
        sys.exit(f"error: expected `show CONFIG`, got {list(argv[1:])}.\n{_USAGE}")
    return parse_flags([argv[0], f"--config={argv[2]}", *argv[3:]])


def _file() -> str:
    """The path of the configuration file, which `parse_flags` has found."""
    return config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")[0]


if __name__ == "__main__":
    _CONFIG = config_flags.DEFINE_config_file("config", None, "Configuration file.")
    _MARKDOWN = flags.DEFINE_bool("markdown", False, "Print a page in Markdown.")
    app.run(main, flags_parser=_parse)
