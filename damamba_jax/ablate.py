"""Runs the ablation; this is another name for `damamba study ablation`."""

import sys
from collections.abc import Sequence

from damamba_jax.runtime.parser import Parser
from damamba_jax.studies import command


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    return command.main(["ablation", *(sys.argv[1:] if argv is None else argv)])


def make_parser() -> Parser:
    """Makes the parser of this command."""
    return command.make_parser()


if __name__ == "__main__":
    sys.exit(main())
