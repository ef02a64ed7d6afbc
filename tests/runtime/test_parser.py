"""Command lines: what every command's flags have in common."""

import os
import subprocess
import sys

import pytest

from damamba_jax.runtime.parser import (
    Parser,
    expand_home,
    number,
    one_of,
    some_of,
    split_names,
    whole,
    whole_list,
)


@pytest.fixture
def parser():
    made = Parser("train", "Trains.")
    made.add_argument("--workdir", required=True)
    made.add_argument("--kind", type=one_of("stitched", "long"))
    made.add_argument("--kinds", type=some_of("stitched", "long"))
    made.add_argument("--count", type=whole(1))
    made.add_argument("--size", type=number(0.5))
    made.add_argument("--seeds", type=whole_list)
    made.add_argument("--names", type=split_names)
    return made


def error_of(parser, capsys, *argv):
    with pytest.raises(SystemExit) as end:
        parser.parse(argv)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and line.endswith(
        " All flags: damamba train --help"
    )
    return line.removeprefix("error: ").partition(" All flags")[0]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--kind=lng", "`--kind`: expected one of stitched, long, got 'lng'; did you "
         "mean 'long'?"),
        ("--kinds=long,x", "`--kinds`: expected one of stitched, long, got 'x'."),
        ("--count=0", "`--count`: expected a whole number of at least 1, got '0'."),
        ("--count=1.5", "`--count`: expected a whole number of at least 1, got '1.5'."),
        ("--size=nan", "`--size`: expected a number of at least 0.5, got 'nan'."),
        ("--size=big", "`--size`: expected a number of at least 0.5, got 'big'."),
        ("--seeds=1,,2", "`--seeds`: expected whole numbers with commas between, got "
         "'1,,2'."),
        ("--cont=1", "`--cont`: unknown flag of `damamba train`; did you mean "
         "'--count'? Known: --count, --help, --kind, --kinds, --names, --seeds, "
         "--size, --workdir."),
        ("--wor=x", "`--wor`: unknown flag of `damamba train`; did you mean "
         "'--workdir'? Known: --count, --help, --kind, --kinds, --names, --seeds, "
         "--size, --workdir."),
        ("--smoothing=none", "`--smoothing`: unknown flag of `damamba train`; expected "
         "with `damamba evaluate`, `damamba predict` or `damamba submit`."),
        ("more", "expected flags only, got 'more'."),
    ],
)  # fmt: skip
def test_wrong_flags_are_answered_in_one_line(parser, capsys, argument, message):
    assert error_of(parser, capsys, "--workdir=x", argument) == message


def test_what_is_required_is_said_after_what_is_unknown(parser, capsys):
    assert error_of(parser, capsys) == "`--workdir`: expected a value, got nothing."
    assert "did you mean '--workdir'?" in error_of(parser, capsys, "--workdri=x")
    assert error_of(parser, capsys, "--workdir") == (
        "`--workdir`: expected one argument."
    )


@pytest.mark.parametrize("argv", [["--help"], ["--kind=\u2013"]])
def test_any_terminal_can_show_it(argv):
    program = (
        "import sys; from damamba_jax.runtime.parser import Parser, one_of;"
        "made = Parser('train', 'A \u2013 dash.');"
        "made.add_argument('--kind', type=one_of('a', '\u00e9'));"
        "made.parse(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *argv], capture_output=True, text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if argv == ["--help"] else 2)
    assert "?" in done.stdout + done.stderr


def test_values_are_read(parser):
    options = parser.parse(
        ["--workdir=x", "--kinds=long, stitched", "--seeds=3,1,3", "--names=a,,b "]
    )
    assert options.kinds == ["long", "stitched"] and options.names == ["a", "b"]
    assert options.seeds == [3, 1]


def test_home_is_put_into_flags_alone(monkeypatch, parser):
    monkeypatch.setenv("HOME", "/home/me")
    argv = ["--workdir=~/run", "--config.data.root=~", "--name=a~b", "~/x"]
    assert expand_home(argv) == [
        "--workdir=/home/me/run", "--config.data.root=/home/me", "--name=a~b", "~/x",
    ]  # fmt: skip
    assert parser.parse(["--workdir=~/run"]).workdir == "/home/me/run"


@pytest.mark.parametrize(
    "argv",
    [
        ["--config=configs/noxi.py:tiny", "--config.optim.lr=0.5"],
        ["--config", "configs/noxi.py:tiny", "--config.optim.lr", "0.5"],
        ["--config.optim.lr=0.5", "--config=noxi.py:tiny"],
    ],
)
def test_fields_of_a_configuration_are_set(tmp_path, monkeypatch, argv):
    monkeypatch.chdir(tmp_path)
    parser = Parser("train", "Trains.")
    parser.add_config(required=True)
    options = parser.parse([*argv, "--config.train.tensorboard"])
    assert options.config.name == "noxi-tiny"
    assert options.config.optim.lr == 0.5 and options.config.train.tensorboard is True


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("optim.lr=much", "`--config.optim.lr`: expected a number, got 'much'; the "
         "configuration has 0.005 there."),
        ("train.steps=1.5", "`--config.train.steps`: expected a whole number, got "),
        ("train.tensorboard=maybe", "expected true or false, got 'maybe'"),
        ("train.steps", "expected a value, got nothing"),
        ("optim=1", "`--config.optim`: expected a group of fields, got '1'"),
        ("optim.rl=1", "`--config.optim.rl`: unknown field; did you mean 'lr'?"),
        ("optim.lr.x=1", "`--config.optim.lr.x`: unknown field"),
    ],
)  # fmt: skip
def test_wrong_fields_are_answered_in_one_line(capsys, field, message):
    parser = Parser("train", "Trains.")
    parser.add_config()
    with pytest.raises(SystemExit) as end:
        parser.parse(["--config=configs/noxi.py:tiny", f"--config.{field}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and message in line
    assert parser.parse([]).config is None
