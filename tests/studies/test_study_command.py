"""The command of the studies."""

import pytest

from damamba_jax.studies.command import STUDIES, main


def test_help_lists_studies_and_presets(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for name, module in STUDIES.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.split(maxsplit=1)[1] == ", ".join(module.PRESETS)


def test_an_unknown_study_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["sistems"])
    assert "'ablation', 'systems', 'effects', 'context-length'" in (
        capsys.readouterr().err
    )
