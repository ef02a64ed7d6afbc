"""Prints a script that completes commands, flags and files in a shell.

    source <(damamba completion bash)               # in ~/.bashrc
    source <(damamba completion zsh)                # in ~/.zshrc, after compinit
    damamba completion fish | source                # in ~/.config/fish/config.fish

The script holds the flags of this version, so no Python starts while you type. The
lines above run Python once in each new shell. A file avoids that delay:

    damamba completion bash > ~/.local/share/bash-completion/completions/damamba
"""

import sys
from collections.abc import Sequence

from damamba_jax.runtime.completion import SHELLS, write_script
from damamba_jax.runtime.parser import Parser, one_of


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    print(write_script(options.shell), end="")
    return 0


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("completion", __doc__)
    parser.add_argument(
        "shell", type=one_of(*SHELLS), metavar="|".join(SHELLS),
        help="shell that will read the script",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
