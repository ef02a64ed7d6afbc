"""The command that looks at a folder and writes a configuration for it."""

import pytest
from commands import run_module
from forms import csv_per_session, interval_csv, lines, streams

from damamba_jax import init_corpus


def error_of(*arguments) -> str:
    with pytest.raises(SystemExit) as end:
        init_corpus.main([*map(str, arguments)])
    return end.value.code


@pytest.mark.slow
def test_from_a_folder_to_a_trained_model(tmp_path):
    """What it writes is read and trained on as it is."""
    csv_per_session(tmp_path / "talks")
    interval_csv(tmp_path / "talks")

    def run(*command):
        return run_module(tmp_path, "damamba_jax", *command)

    printed = run("init-corpus", "talks")
    assert "my_corpus.py: written. Read it" in run(
        "init-corpus", "talks", "--out=my_corpus.py"
    )
    assert (tmp_path / "my_corpus.py").read_text() == printed
    listed = run("inventory", "--config=my_corpus.py")
    assert "| mine/all | 2 | 4 | 4 | 100.0% | 0.00 |" in listed
    assert "problems: 0" in listed
    trained = run("train", "--config=my_corpus.py:tiny", "--workdir=run")
    assert "mine/all" in trained and (tmp_path / "run" / "results.json").is_file()


def test_no_file_is_replaced(tmp_path, capsys):
    streams(tmp_path / "talks")
    lines(tmp_path / "talks")
    out = tmp_path / "mine.py"
    out.write_text("precious")
    assert "exists; expected the name of a new file" in error_of(
        tmp_path / "talks", f"--out={out}"
    )
    assert out.read_text() == "precious"
    assert init_corpus.main([str(tmp_path / "talks")]) == 0
    assert "def get_config" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["missing"], "nothing there"),
        (["file.txt"], "a file"),
        (["."], "expected streams"),
    ],
)
def test_what_is_no_folder_of_recordings(arguments, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("words\n")
    text = error_of(*arguments)
    assert text.startswith("error: ") and match in text


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "`DIR`: expected a value, got nothing"),
        (["a", "b"], "got 'b'"),
        ([".", "--ouut=x"], "did you mean '--out'"),
    ],
)
def test_wrong_command_lines(arguments, match, capsys):
    assert error_of(*arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ") and match in text


def test_help(capsys):
    with pytest.raises(SystemExit):
        init_corpus.main(["--help"])
    assert "--out" in capsys.readouterr().out
