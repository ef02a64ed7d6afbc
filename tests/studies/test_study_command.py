"""The command of the studies."""

import importlib
from pathlib import Path

import pytest

from damamba_jax.studies import command
from damamba_jax.studies.command import STUDIES, main


def test_help_lists_studies_and_presets(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for name, presets in STUDIES.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.split(maxsplit=1)[1] == ", ".join(presets)


@pytest.mark.parametrize("name", STUDIES)
def test_the_presets_are_those_of_the_study(name):
    module = f"damamba_jax.studies.{name.replace('-', '_')}"
    assert tuple(importlib.import_module(module).PRESETS) == STUDIES[name]


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("number", [1, 2])
def test_a_number_of_seeds_is_as_good_as_their_names(name, number):
    def describe(*flags):
        parser = command.make_parser()
        return command._describe(parser.parse([name, "--preset=small", *flags]))[0]

    counted = describe(f"--num_seeds={number}")
    seeds = ",".join(map(str, counted.seeds))
    named = describe(f"--seeds={seeds}")
    assert len(counted.seeds) == number
    assert counted.workdirs("x", Path()) == named.workdirs("x", Path())
    assert len({*counted.workdirs("x", Path())}) == number
    assert [row.key for row in counted.rows] == [row.key for row in named.rows]


def test_an_unknown_study_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["sistems"])
    assert "did you mean 'systems'?" in capsys.readouterr().err
