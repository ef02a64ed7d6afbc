"""Command line of the package: `damamba COMMAND ...`.

`damamba COMMAND` and `python -m damamba_jax.COMMAND` are the same; dashes in the name
of a command stand for underscores. `damamba COMMAND --help` explains a command.
"""

import os
import runpy
import sys
from collections.abc import Sequence
from importlib import metadata

from damamba_jax import __version__
from damamba_jax.errors import UsageError, nearest
from damamba_jax.runtime.commands import find_commands


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name.

    A program that reads the output may stop early, as `head` does. That is no error.
    """
    try:
        _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise Python would report the error again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)  # the status that shells give for SIGPIPE


def _run(argv: Sequence[str] | None) -> None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands = dict(find_commands())
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(_help(commands))
        return
    if arguments[0] == "--version":
        print(_versions())
        return
    name = arguments[0].replace("-", "_")
    if name not in commands:
        known = [command.replace("_", "-") for command in commands]
        hint = nearest(arguments[0], known)
        print(f"error: unknown command {arguments[0]!r}{hint}", file=sys.stderr)
        sys.exit(UsageError.exit_status)
    sys.argv = [f"damamba {arguments[0]}", *arguments[1:]]
    runpy.run_module(f"damamba_jax.{name}", run_name="__main__", alter_sys=False)


def _help(commands: dict[str, str]) -> str:
    width = max(map(len, commands))
    names = {name: name.replace("_", "-").ljust(width) for name in commands}
    lines = [f"  {names[name]}  {sentence}" for name, sentence in commands.items()]
    return "\n".join(
        [
            "usage: damamba COMMAND [FLAGS]; damamba COMMAND --help",
            "",
            *lines,
            "",
            "  --version"
            + " " * max(width - 7, 2)
            + "Prints the versions and the device.",
        ]
    )


def _versions() -> str:
    # The import takes a second, and only this function needs it.
    import jax

    device = jax.devices()[0]
    return (
        f"damamba_jax {__version__}, jax {metadata.version('jax')}, Python "
        f"{sys.version.split()[0]}, {device.device_kind} ({device.platform})"
    )


if __name__ == "__main__":
    main()
