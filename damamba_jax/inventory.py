"""Lists the contents of a corpus, and every problem in it.

    damamba inventory --root=DIR [--labels_root=DIR] [--features=a,b]
    damamba inventory --config=FILE.py      # a corpus of your own

The command prints every session, role and feature with its width, rate, frames and
label coverage, a summary of each split, and every problem. A rate of `40 -> 25` means
that the header says 40 and is wrong. The command reads headers, labels and some frames
of each stream. The exit status is 1 if no stream can be read; with `--strict` it is
also 1 if there is any problem.
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
    del stop  # Nothing is written, so a signal may end the process at once.
    # These imports take a while; `--help` and a wrong flag do not wait for them.
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
    parser.add_roots("folder of a corpus, or of several corpora")
    add(
        "--features", type=split_names, default=(), metavar="A,B",
        help="features to list; default: all that the corpus holds",
    )  # fmt: skip
    parser.add_config()
    add("--strict", action="store_true", help="exit status 1 if there is any problem")
    return parser


if __name__ == "__main__":
    sys.exit(main())
