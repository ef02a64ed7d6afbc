"""The command line of the package."""

import os
import re
import subprocess
import sys

import pytest
from source import modules

import damamba_jax.__main__ as command_line


def test_help_lists_every_command_and_loads_none():
    program = (
        "import damamba_jax.__main__ as main, sys; main.main(['--help']);"
        "print(sorted(n for n in sys.modules if n.startswith('damamba_jax.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1]
    rooms = {
        name.split(".")[1] for name in re.findall("damamba_jax[.][a-z_.]+", loaded)
    }
    assert rooms == {"__main__", "errors", "runtime"}
    commands = {
        name.split(".")[1]
        for name, module in modules().items()
        if module.is_command and name != "damamba_jax.__main__"
    }
    assert set(dict(command_line.find_commands())) == commands
    assert all(f"  {name.replace('_', '-')} " in done.stdout for name in commands)


def test_a_command_gets_its_flags_and_its_exit_status():
    done = subprocess.run(
        [sys.executable, "-m", "damamba_jax", "simulate", "--preset=none", "--out=x"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "none" in done.stderr and "Traceback" not in done.stderr


def test_an_unknown_command_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as end:
        command_line.main(["trian"])
    assert end.value.code == 2
    assert "'trian'; did you mean 'train'" in capsys.readouterr().err


def test_versions(capsys):
    command_line.main(["--version"])
    assert capsys.readouterr().out.startswith(f"damamba_jax {command_line.__version__}")


@pytest.mark.parametrize("command", [["--help"], ["config", "show", "noxi.py"]])
def test_a_reader_that_leaves_early_is_no_error(command):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "damamba_jax", *command], stdout=writer,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    # Rich ends a program with 1 then.
    assert done.returncode in (1, 141) and done.stderr == ""
