"""Prints figures of the package's structure, to be looked at.

    python tests/structure/figures.py

What must hold always is tested beside this file; these figures show where the house
becomes crooked.
"""

import ast
import functools
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from law import MUST_NOT_LOAD
from source import PACKAGE, ROOT, imports, modules, public_functions
from test_law import PROGRAM
from test_public import untyped

SHARED_LINES = 6
LONG_FUNCTION, LONG_FILE = 60, 400
STUDIES = ("ablate.py", "study.py", "studies")


def main() -> None:
    """Prints one line for each figure."""
    print(f"modules directly in {PACKAGE}/: {len(ground_floor())}")
    print(f"longest import chain inside one room: {' < '.join(longest_chain())}")
    for statement in MUST_NOT_LOAD:
        print(f"modules loaded by `{statement}`: {count_loaded(statement)}")
    pairs = list(shared_places())
    print(f"pairs of places that share {SHARED_LINES} lines or more: {len(pairs)}")
    for pair in pairs:
        print(f"  {pair[0]} ~ {pair[1]}")
    print(f"lines of studies: {study_lines()}")
    for title, found in {
        f"functions over {LONG_FUNCTION} lines": list(long_functions()),
        f"files over {LONG_FILE} lines": list(long_files()),
        "public functions without docstring": [
            name
            for name, function in public_functions()
            if not name.endswith("__") and not ast.get_docstring(function)
        ],
        "public functions without types": [
            name for name, function in public_functions() if untyped(function)
        ],
    }.items():
        print(f"{title}: {len(found)}")
        for name in found:
            print(f"  {name}")


def ground_floor() -> list[str]:
    """Names of the modules that lie in no room."""
    return sorted(path.name for path in (ROOT / PACKAGE).glob("*.py"))


def longest_chain() -> list[str]:
    """The longest chain of imports whose modules all lie in one folder."""

    @functools.cache
    def chain(name: str) -> tuple[str, ...]:
        folder = modules()[name].path.parent
        below = [m for m in imports(name) if modules()[m].path.parent == folder]
        return (*max(map(chain, below), key=len, default=()), name)

    # The commands and the ground floor are no room.
    inside = [name for name, m in modules().items() if m.room and not m.is_command]
    return list(max(map(chain, inside), key=len))


def count_loaded(statement: str) -> int:
    """Counts the package's modules outside `kernels/` that a statement loads."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(statement=statement)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = [name for name in done.stdout.split() if name.startswith(PACKAGE)]
    return sum(not name.startswith(f"{PACKAGE}.kernels") for name in loaded)


def study_lines() -> int:
    """Counts the lines of the studies and of the commands that start them."""
    paths: list[Path] = []
    for name in STUDIES:
        place = ROOT / PACKAGE / name
        paths += place.rglob("*.py") if place.is_dir() else [place] * place.is_file()
    return sum(len(path.read_text().splitlines()) for path in paths)


def shared_places() -> Iterator[tuple[str, str]]:
    """Pairs of places, in the package and the benchmarks, with the same lines."""
    seen: dict[str, tuple[str, int]] = {}
    last: tuple[str, str, int, int] | None = None
    for path in _all_paths():
        lines = list(_code_lines(path))
        place = str(path.relative_to(ROOT))
        for i in range(len(lines) - SHARED_LINES + 1):
            block = lines[i : i + SHARED_LINES]
            text = "\n".join(text for _, text in block)
            key = hashlib.sha256(text.encode()).hexdigest()
            if key not in seen:
                seen[key] = place, block[0][0]
                continue
            other, line = seen[key]
            # Longer runs are one pair.
            follows = last and last[:2] == (place, other) and i == last[2] + 1
            last = place, other, i, line
            if not follows:
                yield f"{place}:{block[0][0]}", f"{other}:{line}"


def _code_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, without imports, comments, and lines of punctuation alone."""
    source = path.read_text()
    imported: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            # The names may stand in lines of their own.
            imported.update(range(node.lineno, (node.end_lineno or 0) + 1))
    for number, line in enumerate(source.splitlines(), start=1):
        text = " ".join(line.split())
        words = any(c.isalnum() for c in text)
        if words and number not in imported and not text.startswith("#"):
            yield number, text


def long_functions() -> Iterator[str]:
    """Functions that are too long to be read at once."""
    for path in _all_paths():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONG_FUNCTION:
                    yield f"{path.relative_to(ROOT)}:{node.name}: {length}"


def long_files() -> Iterator[str]:
    """Files that are too long to be read at once."""
    for path in _all_paths():
        length = len(path.read_text().splitlines())
        if length > LONG_FILE:
            yield f"{path.relative_to(ROOT)}: {length}"


def _all_paths() -> list[Path]:
    """Files of the package and of the benchmarks."""
    benchmarks = sorted((ROOT / "benchmarks").rglob("*.py"))
    return [*(module.path for module in modules().values()), *benchmarks]


if __name__ == "__main__":
    main()
