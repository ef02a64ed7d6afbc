"""Checks every selective scan on this machine's device against float64 NumPy.

    damamba selfcheck [--implementation=NAME,NAME]

The command compares outputs, final states and all gradients. It does so in float32 and
bfloat16, with odd lengths, with 8, 16 and 32 states, in reverse, and with and without
gate, skip, bias and initial state. It prints one row for each implementation: the worst
error, or the reason why the implementation cannot run here, or the failure. An error is
max |err| / max |ref| of one array. The exit status is 1 if an implementation fails, or
if one that was asked for by name cannot run here.
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
    del stop  # Nothing needs saving, so a signal may end the process at once.
    # This import takes a second; `--help` and a wrong flag do not wait for it.
    from damamba_jax.studies.scan_checks import check_scans

    return check_scans(options.implementation, console)


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("selfcheck", __doc__)
    parser.add_argument(
        "--implementation", type=split_names, default=(), metavar="NAME,NAME",
        help="implementations to check; default: all",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
