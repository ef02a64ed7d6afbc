"""Command line of the package: `damamba COMMAND ...`.

`damamba COMMAND` and `python -m damamba_jax.COMMAND` are the same; dashes in the name
of a command stand for underscores. `damamba COMMAND --help` explains a command.
"""

import ast
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from damamba_jax import __version__
from damamba_jax.errors import nearest

_FOLDER = Path(__file__).resolve().parent
# Modules beside the commands that are none.
_OTHERS = ("__init__", "__main__", "array_types", "errors", "files")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name.

    Whoever reads the output may stop early, as `head` does: that is no error.
    """
    try:
        _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)  # as a shell names the end by SIGPIPE


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
        sys.exit(f"error: unknown command {arguments[0]!r}{nearest(name, commands)}")
    sys.argv = [f"damamba {arguments[0]}", *arguments[1:]]
    runpy.run_module(f"damamba_jax.{name}", run_name="__main__", alter_sys=False)


def find_commands() -> Iterator[tuple[str, str]]:
    """Finds the commands and their first sentences; no command is imported."""
    paths = [*_FOLDER.glob("*.py"), *_FOLDER.glob("*/__main__.py")]
    for path in sorted(paths, key=_name):
        if _name(path) not in _OTHERS:
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            yield _name(path), (doc or "").partition("\n")[0]


def _name(path: Path) -> str:
    return path.parent.name if path.parent != _FOLDER else path.stem


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
            "  --version" + " " * max(width - 7, 2) + "Versions, and the device.",
        ]
    )


def _versions() -> str:
    # It takes a second, and only this needs it.
    import jax

    device = jax.devices()[0]
    return (
        f"damamba_jax {__version__}, jax {metadata.version('jax')}, Python "
        f"{sys.version.split()[0]}, {device.device_kind} ({device.platform})"
    )


if __name__ == "__main__":
    main()
