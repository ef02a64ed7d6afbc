"""The package's source as the structure tests see it: modules, rooms, imports.

A *room* is a folder of the package, or one of the single modules on its ground floor.
"""

import ast
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "damamba_jax"
# Folders of the checkout, and the names under which their modules are imported.
FOLDERS = {
    "damamba_jax": PACKAGE,
    "kernels": f"{PACKAGE}.kernels",
    "configs": f"{PACKAGE}.configs",
}


@dataclasses.dataclass(frozen=True)
class Module:
    """One file of the package.

    Attributes:
      name: dotted name, under which it is imported.
      path: its file.
    """

    name: str
    path: Path

    @functools.cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def room(self) -> str:
        """First part of its name below the package; empty for the package itself."""
        return (self.name.split(".") + [""])[1]

    @property
    def is_command(self) -> bool:
        """Whether `python -m` runs it."""
        single = self.name.count(".") == 1 and self.path.stem != "__init__"
        return self.path.stem == "__main__" or (single and self.room not in GROUND)


# Single modules that are no commands.
GROUND = ("array_types", "errors", "files")


@functools.cache
def modules() -> dict[str, Module]:
    """All modules by name."""
    found = {}
    for folder, prefix in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            # Links that make the folders beside the package visible to type checkers.
            if folder == PACKAGE and parts[0] in ("kernels", "configs"):
                continue
            name = ".".join([prefix, *(p for p in parts if p != "__init__")])
            found[name] = Module(name, path)
    return found


@functools.cache
def imports(name: str) -> frozenset[str]:
    """Modules of the package that a module imports, inside functions included."""
    known, found = modules(), set()
    for node in ast.walk(known[name].tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: relative import"
            found |= {_imported(node.module or "", alias.name) for alias in node.names}
    return frozenset(found & known.keys()) - {name}


def _imported(module: str, name: str) -> str:
    """What `from module import name` loads: a module of that name, or `module`."""
    full = f"{module}.{name}"
    return full if full in modules() else module


def public_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Public functions and methods, with the names that a reader knows them by."""
    for module in modules().values():
        yield from _public(module.tree, module.name)


def _public(tree: ast.AST, name: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node, f"{name}.{node.name}")
        elif isinstance(node, ast.FunctionDef):
            special = node.name in ("__init__", "__call__")
            if special or not node.name.startswith("_"):
                yield f"{name}.{node.name}", node
