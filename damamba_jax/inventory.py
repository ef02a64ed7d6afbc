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

from rich.console import Console

from damamba_jax.runtime.command import make_console, run
from damamba_jax.runtime.parser import Parser, split_names
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    return run(functools.partial(_list, options), console=make_console())


def _list(options: argparse.Namespace, stop: StopRequest, console: Console) -> int:
    del stop  # Nothing is written: a signal ends the process at once.
    # These take a while to import, which neither `--help` nor a wrong flag waits for.
    from damamba_jax.reporting.inventory import list_corpus, make_request

    request = make_request(
        options.root, options.labels_root, options.features, options.config
    )
    listed = list_corpus(request, console)
    if not listed.has_streams:
        print("inventory: no stream can be read.", file=sys.stderr)
        return 1
    return 1 if options.strict and listed.problems else 0


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
