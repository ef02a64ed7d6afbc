"""Looks at a folder of recordings and writes a configuration that reads it.

    damamba init-corpus DIR                     # to the terminal
    damamba init-corpus DIR --out=my_corpus.py

Then, as with any configuration:

    damamba inventory --config=my_corpus.py
    damamba train --config=my_corpus.py

The command guesses participants, features, widths, rates, groups, annotations, their
range, and splits or folds. It guesses from names, headers and first rows. A comment
gives the reason for each guess. If something cannot be guessed, a comment names the
field to set. The command writes nothing into DIR, follows no links, and never replaces
a file by `--out`.
"""

import argparse
import functools
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.errors import ConfigError, CorpusError, printable
from damamba_jax.runtime.command import make_console, run
from damamba_jax.runtime.parser import Parser
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    run(functools.partial(_init, options), console=make_console())
    return 0


def _init(options: argparse.Namespace, stop: StopRequest, console: Console) -> None:
    del stop, console  # One file is written, in one go.
    # This import takes a while; `--help` and a wrong flag do not wait for it.
    from damamba_jax.data.guess.guess import write_page

    root = Path(options.folder).expanduser()
    if not root.is_dir():
        what = "a file" if root.is_file() else "nothing there"
        raise CorpusError(f"expected a folder of recordings, got {root}: {what}.")
    text = write_page(root.resolve())
    if not options.out:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # The text is a Python file, which is UTF-8 whatever the terminal uses.
            sys.stdout.reconfigure(encoding="utf-8")
        sys.stdout.write(text)
        return
    try:
        with open(options.out, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"`--out`: {options.out} exists; expected the name of a new file."
        ) from None
    print(
        printable(
            f"{options.out}: written. Read it, then run damamba inventory "
            f"--config={options.out}"
        )
    )


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("init-corpus", __doc__)
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of the recordings")
    add(
        "--out", default="", metavar="FILE",
        help="new file for the configuration; default: the terminal",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
