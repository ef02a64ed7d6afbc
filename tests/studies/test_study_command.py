"""The command of the studies."""

from pathlib import Path

import pytest

from damamba_jax.studies import command, engine
from damamba_jax.studies.command import STUDIES, main


def test_help_lists_studies_and_presets(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for name, presets in STUDIES.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.split(maxsplit=1)[1] == ", ".join(presets)


def describe(name, *flags):
    study, _ = command._describe(command.make_parser().parse([name, *flags]))
    return study


@pytest.mark.parametrize(
    ("name", "preset"), [(name, p) for name in STUDIES for p in STUDIES[name]]
)
def test_every_preset_is_described(name, preset, monkeypatch):
    # Counting takes seconds; the rows' sizes are tested with the ablation.
    monkeypatch.setattr(engine, "count_parameters", lambda config: 1)
    study = describe(name, f"--preset={preset}")
    assert study.rows and study.name == name.replace("-", "_")


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("number", [1, 2])
def test_a_number_of_seeds_is_as_good_as_their_names(name, number, monkeypatch):
    monkeypatch.setattr(engine, "count_parameters", lambda config: 1)
    counted = describe(name, "--preset=small", f"--num_seeds={number}")
    seeds = ",".join(map(str, counted.seeds))
    named = describe(name, "--preset=small", f"--seeds={seeds}")
    assert len(counted.seeds) == number
    assert counted.workdirs("x", Path()) == named.workdirs("x", Path())
    assert len({*counted.workdirs("x", Path())}) == number
    assert [row.key for row in counted.rows] == [row.key for row in named.rows]


def test_an_unknown_study_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["sistems"])
    assert "did you mean 'systems'?" in capsys.readouterr().err
