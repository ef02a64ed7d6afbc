"""Every command line of the checkout is read by one parser, and fast."""

import ast
import subprocess
import sys

import pytest
from source import ROOT, modules

from damamba_jax.runtime.commands import find_commands, load_parser
from damamba_jax.runtime.parser import Parser

OWNER = ROOT / "damamba_jax" / "runtime" / "parser.py"
NAMES = [name for name, _ in find_commands()]
# Libraries that take long to import.
SLOW = ("jax", "flax", "orbax", "scipy", "matplotlib", "pyarrow", "grain")


def files():
    """Every Python file that may read a command line."""
    folders = ("damamba_jax", "benchmarks", "kernels", "configs", "tests")
    return [
        path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def test_every_command_is_found():
    commands = {
        name.split(".")[1] for name, module in modules().items() if module.is_command
    }
    assert set(NAMES) == commands - {"__main__"}


def test_no_other_parser_reads_flags():
    """`Parser` puts the home in the place of `~`, and answers mistakes in one line."""
    found = set()
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called.endswith("ArgumentParser") or ".DEFINE_" in called:
                    found.add(path)
    # It sets single fields of a configuration, with the types of ml_collections.
    assert found == {ROOT / "damamba_jax" / "runtime" / "config_files.py"}


@pytest.mark.parametrize("name", NAMES)
def test_help_is_one_style_and_waits_for_no_library(name):
    program = (
        "import sys; from damamba_jax.runtime.commands import load_parser;"
        f"print(load_parser({name!r}).format_help());"
        f"print([n for n in {SLOW} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    *lines, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert lines[0].startswith("usage: damamba ")
    assert "-h, --help" in done.stdout and dict(find_commands())[name].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_every_flag_says_what_it_is_for(name):
    parser = load_parser(name)
    assert isinstance(parser, Parser)
    silent = [a.dest for a in parser._actions if not a.help]
    assert not silent
