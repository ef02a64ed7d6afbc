"""`python -m damamba_jax.simulate`."""

import json

import pytest
from example import TINY

from damamba_jax import simulate
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.oracle import table as oracle_table
from damamba_jax.data.simulated.presets import PRESETS
from damamba_jax.schema.release import DEMO_DIMS


def run(*arguments):
    return simulate.main(arguments)


def test_writes_a_corpus_and_its_table(tmp_path, capsys):
    out = tmp_path / "corpus"
    assert run(f"--out={out}", "--preset=tiny") == 0
    text = capsys.readouterr().out
    assert text.startswith("simulated: tiny")
    assert "writing: 5/5 recordings" in text and "oracle: 3/3 spans" in text
    table = json.loads((out / "oracle" / "table.json").read_text())
    assert oracle_table.to_text(table) in text
    assert oracle_table.to_markdown(table) == (out / "oracle" / "table.md").read_text()
    (split,) = table["spans"][0]["splits"]
    assert split["name"] == "noxi/val"
    assert set(split["scores"]) >= set(oracle_table.VIEWS)
    assert corpus_index.index(out, features=TINY.data.features).simulated
    assert sum(DEMO_DIMS.values()) == 48 and "48 columns" in text


def test_help_names_flags_and_presets(capsys):
    with pytest.raises(SystemExit) as end:
        run("--help")
    assert end.value.code == 0
    text = capsys.readouterr().out
    for word in ("--out", "--seed", *PRESETS):
        assert word in text


def test_bad_input_is_an_error(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for arguments, message in (
        ([], "`--out`: expected a value, got nothing"),
        ([f"--out={tmp_path}/a", "--preset=dem"], "did you mean 'demo'?"),
        ([f"--out={tmp_path}/a", "--sed=1"], "did you mean '--seed'?"),
        ([f"--out={tmp_path}/a", "--seed=-1"], "expected a whole number of at least 0"),
        ([f"--out={tmp_path}/a", "more"], "expected flags only, got 'more'"),
    ):
        with pytest.raises(SystemExit) as end:
            run(*arguments)
        said = capsys.readouterr().err
        assert end.value.code == 2 and said.startswith("error: ") and message in said
    with pytest.raises(SystemExit, match="expected a new or empty folder"):
        run(f"--out={tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
