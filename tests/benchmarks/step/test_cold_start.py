"""The time before the first step: its parts, and a command that is watched."""

import os
import sys

import jax
import pytest

from benchmarks.step import cold_start, measure
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
