"""Commands of the package, which are found by their files and loaded one by one."""

import argparse
import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1]
# Modules in the folder of the commands that are not commands.
_OTHERS = ("__init__", "__main__", "array_types", "errors", "files")


def find_commands() -> Iterator[tuple[str, str]]:
    """Finds the commands, each with the first line of its docstring.

    No command is imported.
    """
    paths = [*_FOLDER.glob("*.py"), *_FOLDER.glob("*/__main__.py")]
    for path in sorted(paths, key=_name):
        if _name(path) not in _OTHERS:
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            yield _name(path), (doc or "").partition("\n")[0]


def load_parser(name: str) -> argparse.ArgumentParser:
    """Imports a command and makes its parser.

    Args:
      name: name of the command's module, e.g. `"init_corpus"`.
    """
    module = f"damamba_jax.{name}"
    if (_FOLDER / name).is_dir():
        module += ".__main__"
    return importlib.import_module(module).make_parser()


def _name(path: Path) -> str:
    return path.parent.name if path.parent != _FOLDER else path.stem
