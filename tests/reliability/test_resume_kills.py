"""The table of kills, and what counts as identical; whole runs are in test_train.py."""

import json
import signal

import pytest

from tests.reliability import resume_kills


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 3}\n{"step": 4}\n{"st')
    for name, step in (("last", 3), ("last", resume_kills.STEPS), ("best", 2)):
        meta = tmp_path / "checkpoints" / name / str(step) / "meta"
        meta.mkdir(parents=True)
        (meta / "metadata").write_text(json.dumps({"digest": f"{name} {step}"}))
    return tmp_path


def test_everything_that_must_be_equal_is_compared(workdir):
    assert resume_kills.last_line(workdir) == 4
    before = resume_kills.outcome(workdir)
    assert set(before) == {"metrics", f"last/{resume_kills.STEPS}", "best/2"}
    for path in (
        workdir / "metrics.jsonl",
        workdir
        / "checkpoints"
        / "last"
        / str(resume_kills.STEPS)
        / "meta"
        / "metadata",
        workdir / "checkpoints" / "best" / "2" / "meta" / "metadata",
    ):
        content = path.read_bytes()
        path.write_bytes(content.replace(b"2", b"7").replace(b"3", b"8")
                         .replace(b"last", b"lost"))  # fmt: skip
        assert resume_kills.outcome(workdir) != before
        path.write_bytes(content)
    assert resume_kills.outcome(workdir) == before


def test_the_table_has_a_line_per_kill_and_the_verdict_at_its_end():
    kill = resume_kills.Kill(
        seconds=1.25, signal=signal.SIGTERM, phase="after step 3",
        seconds_to_exit=0.51, status=143,
    )  # fmt: skip
    hard = kill._replace(signal=signal.SIGKILL, status=-9)
    assert resume_kills.rows(2, resume_kills.Run((kill, hard), identical=False)) == [
        "| 2 | 1.2 | SIGTERM | after step 3 | 0.5 | 143 |  |",
        "|  | 1.2 | SIGKILL | after step 3 |  | -9 | NO |",
    ]
    (line,) = resume_kills.rows(1, resume_kills.Run((kill,), identical=True))
    assert line.endswith("| yes |")


def test_a_difference_fails_the_check(monkeypatch, capsys, tmp_path):
    slow = resume_kills.Kill(1.0, signal.SIGTERM, "evaluation", 30.0, 143)
    for runs, status in (
        ([resume_kills.Run((), True)], 0),
        ([resume_kills.Run((), True), resume_kills.Run((), False)], 1),
        ([resume_kills.Run((slow,), True)], 1),
    ):
        monkeypatch.setattr(resume_kills, "measure", lambda *_, r=runs: (9.0, r))
        assert resume_kills.main([f"--out={tmp_path}"]) == status
    assert "1 of 2 runs end bit-identical after 0 kills" in capsys.readouterr().out
