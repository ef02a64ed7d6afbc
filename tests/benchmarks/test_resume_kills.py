"""The table of kills, and what counts as identical; whole runs are in test_train.py."""

import importlib.util
import json
import pathlib
import signal

import pytest

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "resume_kills.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("resume_kills", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workdir(benchmark, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 3}\n{"step": 4}\n{"st')
    for name, step in (("last", 3), ("last", benchmark.STEPS), ("best", 2)):
        meta = tmp_path / "checkpoints" / name / str(step) / "meta"
        meta.mkdir(parents=True)
        (meta / "metadata").write_text(json.dumps({"digest": f"{name} {step}"}))
    return tmp_path


def test_everything_that_must_be_equal_is_compared(benchmark, workdir):
    assert benchmark.last_line(workdir) == 4
    before = benchmark.outcome(workdir)
    assert set(before) == {"metrics", f"last/{benchmark.STEPS}", "best/2"}
    for path in (
        workdir / "metrics.jsonl",
        workdir / "checkpoints" / "last" / str(benchmark.STEPS) / "meta" / "metadata",
        workdir / "checkpoints" / "best" / "2" / "meta" / "metadata",
    ):
        content = path.read_bytes()
        path.write_bytes(content.replace(b"2", b"7").replace(b"3", b"8")
                         .replace(b"last", b"lost"))  # fmt: skip
        assert benchmark.outcome(workdir) != before
        path.write_bytes(content)
    assert benchmark.outcome(workdir) == before


def test_the_table_has_a_line_per_kill_and_the_verdict_at_its_end(benchmark):
    kill = benchmark.Kill(
        seconds=1.25, signal=signal.SIGTERM, phase="after step 3",
        seconds_to_exit=0.51, status=143,
    )  # fmt: skip
    hard = kill._replace(signal=signal.SIGKILL, status=-9)
    assert benchmark.rows(2, benchmark.Run((kill, hard), identical=False)) == [
        "| 2 | 1.2 | SIGTERM | after step 3 | 0.5 | 143 |  |",
        "|  | 1.2 | SIGKILL | after step 3 |  | -9 | NO |",
    ]
    (line,) = benchmark.rows(1, benchmark.Run((kill,), identical=True))
    assert line.endswith("| yes |")


def test_a_difference_fails_the_benchmark(benchmark, monkeypatch, capsys, tmp_path):
    slow = benchmark.Kill(1.0, signal.SIGTERM, "evaluation", 30.0, 143)
    for runs, status in (
        ([benchmark.Run((), True)], 0),
        ([benchmark.Run((), True), benchmark.Run((), False)], 1),
        ([benchmark.Run((slow,), True)], 1),
    ):
        monkeypatch.setattr(benchmark, "measure", lambda *_, r=runs: (9.0, r))
        assert benchmark.main([f"--out={tmp_path}"]) == status
    assert "1 of 2 runs end bit-identical after 0 kills" in capsys.readouterr().out
