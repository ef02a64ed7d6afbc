"""Imports run one way, in every folder and every command."""

import ast
import copy
import functools
import graphlib
import subprocess
import sys

import law
import pytest
from source import PACKAGE, ROOT, imports, modules

# Whatever must not be loaded is looked for in a process of its own.
PROGRAM = "{statement}; import sys; print(*sorted(sys.modules), sep='\\n')"


@pytest.mark.parametrize("name", modules())
def test_imports_run_one_way(name):
    module = modules()[name]
    if module.is_command or module.room == "":
        return
    allowed = law.MAY_IMPORT[module.room] | {module.room}
    wrong = {other for other in imports(name) if modules()[other].room not in allowed}
    # The package itself holds no more than its version.
    assert not wrong - {PACKAGE}


@pytest.mark.parametrize("stranger", ["benchmarks", "tests"])
def test_the_package_does_not_know_what_stands_beside_it(stranger):
    found = set()
    for name, module in modules().items():
        for node in ast.walk(module.tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            found |= {name for other in names if other.split(".")[0] == stranger}
    assert not found


def test_commands_do_not_import_each_other():
    commands = {name for name, module in modules().items() if module.is_command}
    wrong = {name: imports(name) & commands for name in commands}
    assert not {name: found for name, found in wrong.items() if found}


def test_rooms_form_no_cycle():
    rooms: dict[str, set[str]] = {}
    for name, module in modules().items():
        if module.is_command:
            continue  # A room's own command may use any room.
        found = {modules()[other].room for other in imports(name)}
        rooms.setdefault(module.room, set()).update(found - {module.room, ""})
    graphlib.TopologicalSorter(rooms).prepare()


@pytest.mark.parametrize("statement", law.MUST_NOT_LOAD)
def test_what_stays_out(statement):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(statement=statement)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    unwanted = law.MUST_NOT_LOAD[statement]
    loaded = done.stdout.split()
    assert not [
        name
        for name in loaded
        if any(name == part or name.startswith(part + ".") for part in unwanted)
    ]


def test_git_ignores_no_source_file():
    paths = [str(module.path) for module in modules().values()]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=ROOT, input="\n".join(paths), capture_output=True, text=True, check=False,
    )  # fmt: skip
    # 1: none is ignored; 128: this is no checkout.
    assert done.returncode in (1, 128), done.stdout


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        ("files", {"os.replace(", "NamedTemporaryFile", "read_text()", '.part"'}),
        (
            "runs.workdir",
            {'"results.json"', '"config.json"', '"metrics.jsonl"'},
        ),
        (
            "data.corpus.releases",
            {'"simulated.json"', "language.annotation", "engagement-annotations"},
        ),
        ("config.layout", {"engagement.annotation"}),
        ("data.simulated.write", {'/ "oracle"', '"oracle" /'}),
    ],
)
def test_one_module_owns_it(owner, words):
    found = {
        name.removeprefix(f"{PACKAGE}."): {w for w in words if w in code}
        for name, code in _codes().items()
    }
    del found[owner]
    assert not {name: words for name, words in found.items() if words}


@functools.cache
def _codes() -> dict[str, str]:
    """The strings and calls of all modules; docstrings may name files."""
    return {
        name: ast.unparse(_without_docstrings(module.tree)).replace("'", '"')
        for name, module in modules().items()
    }


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """A copy of a module whose docstrings are gone."""
    tree = copy.deepcopy(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(value=None)
    return tree
