"""Checks every selective scan on this machine's own device against float64 NumPy.

    damamba selfcheck [--implementation=NAME,NAME]

Outputs, final state and all gradients, in float32 and bfloat16, with odd lengths, 8, 16
and 32 states, in reverse, with and without gate, skip, bias and initial state. Prints
one row an implementation: its worst error, or why it cannot run here, or what failed.
An error is max |err| / max |ref| of one array. The exit code is 1 when something fails,
or when an implementation that was asked for by name cannot run here.
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
    return run(functools.partial(_check, options), console=make_console())


def _check(options: argparse.Namespace, stop: StopRequest, console: Console) -> int:
    del stop  # Nothing needs saving: a signal ends the process at once.
    # It takes a second to import, which neither `--help` nor a wrong flag waits for.
    from damamba_jax.studies.scan_checks import check_scans

    return check_scans(options.implementation, console)


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("selfcheck", __doc__)
    parser.add_argument(
        "--implementation", type=split_names, default=(), metavar="NAME,NAME",
        help="default: all",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
