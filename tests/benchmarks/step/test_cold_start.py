"""The time before the first step: its parts, and a command that is watched."""

import dataclasses
import datetime
import fcntl
import io
import json
import os
import platform
import sys

import jax
import pytest

from benchmarks.step import cold_start, measure, process
from benchmarks.step.process import BenchmarkError
from tests.example import FEATURES, small_system

WRITES = """
import pathlib, sys, time
time.sleep(0.2)
pathlib.Path(sys.argv[1]).write_text("a step")
time.sleep(60)
"""


def test_parts_of_a_start_and_steps_are_timed():
    config = small_system("baseline", features=FEATURES[:1])
    config = measure.resize(config, length=24, batch_size=2)
    # optax promotes types.
    with jax.numpy_dtype_promotion("standard"):
        found = measure.measure_start(config, repeats=2)
    parts = ("trace", "lower", "compile", "first_step")
    assert all(found[f"{part}_seconds"] > 0 for part in parts)
    assert found["kernels"] == 0 and found["step_ms"] > 0
    assert found["python"] == platform.python_version()
    assert found["date"] == str(datetime.date.today())


def test_nothing_else_compiles_or_runs_during_a_start(monkeypatch, tmp_path, capsys):
    lock = tmp_path / "turns"

    def start(config, *, repeats):
        with open(lock, "a") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return {"repeats": repeats}

    monkeypatch.setattr(measure, "measure_start", start)
    config = dataclasses.asdict(small_system("baseline"))
    request = {"task": "start", "repeats": 3, "turns": str(lock), "config": config}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
    measure.main()
    assert json.loads(capsys.readouterr().out) == {"repeats": 3}


def test_the_step_is_compiled_as_training_compiles_it(monkeypatch, capsys):
    asked, trained = [], []
    parts = {f"{n}_seconds": 1.0 for n in ("trace", "lower", "compile", "first_step")}
    made_by = {"device": "CPU", "jax": "1.2", "python": "3.4", "date": "2026-11-28"}
    parity = {"ok": True, "loss": 1, "other": "slowly", "other_loss": 1, "tolerance": 2}

    def run(request, config, device):
        asked.append(request)
        if request["task"] == "parity":
            return parity
        return {**parts, **made_by, "kernels": 0, "step_ms": 5.0}

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(
        cold_start,
        "seconds_to_first_step",
        lambda command, *_, **__: trained.append(command) or 7.0,
    )
    argv = ["--config=configs/noxi.py:demo", "--platform=cpu", "--batch_size=3"]
    assert cold_start.main([*argv, "--config.model.remat"]) == 0
    # Without this a CPU's program would be compiled without optimizations.
    assert asked[-1] == {"task": "start", "repeats": 20, "run_on_cpu": True}
    shown = capsys.readouterr().out
    assert "noxi-demo, CPU, jax 1.2, Python 3.4, 2026-11-28\n" in shown
    assert "parity: loss 1.0000000; slowly 1.0000000 (allowed: 2)\n" in shown
    assert trained[0][3:6] == [argv[0], "--config.model.remat",
                               "--config.train.batch_size=3"]  # fmt: skip


def test_a_start_has_no_processes_to_run_side_by_side(capsys):
    with pytest.raises(SystemExit):
        cold_start.main(["--jobs=2"])
    assert "unknown flag" in capsys.readouterr().err


def test_a_run_is_watched_until_its_first_step(tmp_path):
    metrics = tmp_path / "metrics"
    seconds = cold_start.seconds_to_first_step(
        [sys.executable, "-c", WRITES, str(metrics)], metrics, environment=os.environ
    )
    assert 0.2 < seconds < 30


def test_a_run_that_ends_before_its_first_step_says_why(tmp_path):
    with pytest.raises(BenchmarkError, match="exit code 3\nno corpus"):
        cold_start.seconds_to_first_step(
            [sys.executable, "-c", "print('no corpus'); raise SystemExit(3)"],
            tmp_path / "metrics",
            environment=os.environ,
        )


def test_flags_of_the_configuration_keep_their_values():
    argv = ["--config", "configs/dat.py:small", "--repeats", "3", "--config.optim.lr=1"]
    expected = ["--config=configs/dat.py:small", "--config.optim.lr=1"]
    assert cold_start.config_flags(argv) == expected


def test_a_flag_without_a_value_is_a_switch():
    argv = ["--config.model.remat", "--repeats=3", "--config.model.local_branch"]
    assert cold_start.config_flags(argv) == [
        "--config=configs/noxi.py",
        "--config.model.remat",
        "--config.model.local_branch",
    ]
