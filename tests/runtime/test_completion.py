"""Completion in shells, made of the commands' parsers."""

import shutil
import subprocess
import sys

import pytest

from damamba_jax import completion
from damamba_jax.runtime.commands import find_commands, load_parser
from damamba_jax.runtime.completion import SHELLS, write_script

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        (folder / shell).write_text(write_script(shell))
    return folder


@pytest.fixture
def complete(scripts, tmp_path):
    """Completes a line in bash, in a folder with some files."""
    for name in ("runs", "run two", "configs"):
        (tmp_path / name).mkdir()
    for name in ("mine.py", "my notes.txt", "configs/own.py"):
        (tmp_path / name).write_text("")

    def complete(line):
        program = (
            'source "$1"; COMP_LINE="$2"; COMP_POINT=${#2}; _damamba; '
            "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            ["bash", "-c", program, "bash", str(scripts / "bash"), line],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not done.stderr
        return sorted(filter(None, done.stdout.splitlines()))

    return complete


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("damamba tr", ["train"]),
        ("damamba s", ["selfcheck", "simulate", "study", "submit"]),
        ("damamba --v", ["--version"]),
        ("damamba train --wo", ["--workdir="]),
        ("damamba evaluate --r", ["--ridge=", "--root="]),
        ("damamba evaluate --workdir=x --en", ["--ensemble"]),
        ("damamba evaluate --protocol=", ["long", "stitched"]),
        ("damamba evaluate --protocol l", ["long"]),
        ("damamba evaluate --workdir=ru", ["run two", "runs"]),
        ("damamba evaluate --workdir ru", ["run two", "runs"]),
        ("damamba train --config=m", ["mine.py"]),
        ("damamba train --config=configs/n", ["configs/noxi.py", "configs/noxi_j.py"]),
        ("damamba train --config=configs/o", ["configs/own.py"]),
        ("damamba config s", ["show"]),
        ("damamba config show mi", ["mine.py"]),
        ("damamba study ab", ["ablation"]),
        ("damamba completion ", ["--help", "bash", "fish", "zsh"]),
        ("damamba train --nothing", []),
        ("damamba nothing --", []),
    ],
)
def test_bash_completes(complete, line, expected):
    assert complete(line) == expected


def test_bash_offers_every_command_and_every_flag(complete):
    names = [name.replace("_", "-") for name, _ in find_commands()]
    assert complete("damamba ") == sorted([*names, "--help", "--version"])
    for name in names:
        known = load_parser(name.replace("-", "_")).known_flags()
        offered = {word.rstrip("=") for word in complete(f"damamba {name} --")}
        assert offered == set(known)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_whole_and_its_shell_reads_it(scripts, shell, capsys):
    assert completion.main([shell]) == 0
    text = (scripts / shell).read_text()
    assert capsys.readouterr().out == text
    for name, _ in find_commands():
        assert name.replace("_", "-") in text
        for flag in load_parser(name).known_flags():
            assert flag.lstrip("-") in text
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here: its script is not read")
    subprocess.run([shell, "-n", str(scripts / shell)], check=True)


def test_it_waits_for_no_library():
    program = (
        "import sys; from damamba_jax import completion; completion.main(['bash']);"
        "sys.exit(any(n in sys.modules for n in ('jax', 'flax', 'scipy', 'pyarrow')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
