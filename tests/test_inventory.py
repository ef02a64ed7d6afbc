"""The inventory command, and the page on corpora of one's own."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import damamba_jax.data
from damamba_jax import inventory
from damamba_jax.data.formats import ssi

PAGE = Path(damamba_jax.data.__file__).with_name("README.md")


def run(capsys, *flags: str) -> tuple[int, str, str]:
    code = inventory.main(flags)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def error_of(capsys, *flags: str) -> str:
    """The line with which the command ends."""
    with pytest.raises(SystemExit) as end:
        inventory.main(flags)
    said = capsys.readouterr().err
    return end.value.code if isinstance(end.value.code, str) else said


def write_noxi(root: Path) -> None:
    rng = np.random.default_rng(0)
    for role in ("expert", "novice"):
        folder = root / "noxi" / "train" / "001"
        data = rng.normal(size=(200, 512)).astype(np.float32)
        ssi.write_stream(folder / f"{role}.clip.stream", data, 40.0)
        labels = rng.uniform(size=200)
        labels[:50] = np.nan
        ssi.write_labels(folder / f"{role}.engagement.annotation.csv", labels)


def test_lists_streams_labels_and_problems(tmp_path, capsys):
    write_noxi(tmp_path)
    folder = tmp_path / "noxi" / "train" / "001"
    (folder / "language.annotation.csv").write_text("0;8;French;1\n")
    (folder / "novice.engagement.annotation.csv").write_text("a;b\n" * 200)
    code, out, err = run(capsys, f"--root={tmp_path}", "--features=clip,egemaps")
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert (
        "| 001 French | expert | 200 (75.0%) | clip | 512 | 40 -> 25 | 200 | 8.0 |"
        in (lines)
    )
    assert "|  | novice | 200 (bad) | clip | 512 | 40 -> 25 | 200 | 8.0 |" in lines
    assert "| noxi/train | 1 | 2 | 1 | 75.0% | 0.00 |" in lines
    assert "noxi/train: clip 2, egemaps 0 of 2 people" in lines
    assert "problems: 3" in lines
    missing = "no file for egemaps, expected expert.{audio.egemapsv2,"
    assert any(f"noxi/train/001 expert: {missing}" in line for line in lines)
    assert any("one number per line" in line for line in lines)


def test_strict_ends_with_1_if_there_is_a_problem(tmp_path, capsys):
    write_noxi(tmp_path)
    assert run(capsys, f"--root={tmp_path}", "--strict")[0] == 0
    flags = (f"--root={tmp_path}", "--features=clip,egemaps")
    assert run(capsys, *flags)[0] == 0
    assert run(capsys, *flags, "--strict")[0] == 1


def test_streams_that_nobody_asked_for_are_no_problem(tmp_path, capsys):
    write_noxi(tmp_path)
    code, out, _ = run(capsys, f"--root={tmp_path}")
    assert code == 0 and "problems: 0" in out and "clip 2 of 2 people" in out


def test_says_simulated(tmp_path, capsys):
    write_noxi(tmp_path)
    assert "simulated" not in run(capsys, f"--root={tmp_path}")[1]
    (tmp_path / "simulated.json").write_text("{}")
    assert run(capsys, f"--root={tmp_path}")[1].startswith("simulated: ")


def test_names_from_disk_reach_the_terminal_tamed(tmp_path, capsys):
    data = np.zeros((50, 512), np.float32)
    folder = tmp_path / "noxi" / "train" / "[red]\x1b[2J"
    ssi.write_stream(folder / "expert.clip.stream", data, 25.0)
    code, out, _ = run(capsys, f"--root={tmp_path}", "--features=clip")
    assert code == 0 and "\x1b" not in out and "[red]\ufffd[2J" in out


def test_nothing_readable_is_an_error(tmp_path, capsys):
    assert "expected a corpus of a known layout" in error_of(
        capsys, f"--root={tmp_path}"
    )
    write_noxi(tmp_path)
    for path in tmp_path.rglob("*.stream"):
        path.write_text("<stream>")
    code, out, err = run(capsys, f"--root={tmp_path}", "--features=clip")
    assert code == 1 and "problems: 2" in out and "no stream can be read" in err


def test_packaged_configurations_work_in_any_folder(tmp_path):
    write_noxi(tmp_path)
    command = [sys.executable, "-m", "damamba_jax.inventory", "--root=."]
    result = subprocess.run(
        [*command, "--config=configs/noxi.py:25hz", "--config.data.features=clip"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(inventory.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert "problems: 0" in result.stdout and "egemaps" not in result.stdout


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ([], "`--root`: expected the folder"),
        (["--root=."], "expected a corpus"),
        (["--root=.", "--features=clp"], "unknown feature 'clp'; did you mean 'clip'?"),
        (["--rot=."], "did you mean '--root'?"),
        (["folder"], "expected flags only, got 'folder'"),
        (["--config=missing.py"], "missing.py"),
        (["--config=configs/noxi.py", "--config.data.rot=."], "did you mean 'root'"),
        (["--config=configs/noxi.py:dmo"], "dmo"),
    ],
)
def test_wrong_flags(tmp_path, monkeypatch, capsys, flags, match):
    monkeypatch.chdir(tmp_path)
    text = error_of(capsys, *flags)
    assert text.startswith("error: ") and match in text


def test_help(capsys):
    with pytest.raises(SystemExit) as end:
        inventory.main(["--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and "--labels_root" in out and "damamba" in out


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_page_on_corpora_of_one_s_own(tmp_path):
    """Does what the page says, in an empty folder."""
    for block in blocks("python"):
        # Others are parts of a configuration.
        if named := re.match(r"# (\w+\.py)\n", block):
            (tmp_path / named[1]).write_text(block)
    commands = ["python write_corpus.py", *blocks("bash")[0].splitlines()]
    assert [c.split(" --")[0].split(".")[-1] for c in commands[1:]] == [
        "inventory",
        "train",
    ]
    env = {"PYTHONPATH": str(Path(inventory.__file__).parents[1]), "COLUMNS": "99"}
    for command in commands[:2]:
        result = subprocess.run(
            [sys.executable, *command.split()[1:]],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "| monday | teacher | 200 (97.5%) | voice | 4 | 50 | 1000 | 20.0 |" in lines
    assert "| mine/val | 2 | 4 | 4 | 97.5% | 0.01 |" in lines
    assert "mine/val: voice 4, face 4 of 4 people" in lines
    assert "problems: 0" in lines
