"""Scalars of steps: logged in order, one step late, without non-finite streaks."""

import dataclasses
import json

import jax.numpy as jnp
import pytest
from example import PAPER

from damamba_jax.errors import TrainingError
from damamba_jax.runs.run_log import RunLog, read
from damamba_jax.training.meter import Meter


def scalars(loss=0.5, bad=0):
    return {"loss": jnp.float32(loss), "bad_steps": jnp.int32(bad)}


@pytest.fixture
def log(tmp_path):
    log = RunLog(tmp_path, step=0, simulated=True)
    yield log
    log.close()


def test_every_logged_step_gets_its_own_scalars(tmp_path, log):
    meter = Meter(log, dataclasses.replace(PAPER.train, steps=9, log_every=2), start=0)
    for step in range(1, 6):
        meter.add(step, scalars(loss=step))
    assert [line["step"] for line in read(tmp_path / "metrics.jsonl")] == [2, 4]
    meter.flush()
    meter.add(6, scalars(loss=6))
    meter.flush()
    meter.flush()
    lines = read(tmp_path / "metrics.jsonl")
    assert [(line["step"], line["loss"]) for line in lines] == [(2, 2), (4, 4), (6, 6)]
    assert set(lines[0]) == {"step", "loss", "simulated"}


def test_a_streak_of_bad_steps_ends_the_run(log):
    meter = Meter(
        log, dataclasses.replace(PAPER.train, steps=9, max_bad_steps=3), start=0
    )
    meter.add(1, scalars(bad=1))
    meter.add(2, scalars(bad=2))
    meter.add(3, scalars(bad=3))
    with pytest.raises(TrainingError, match=r"step 3: .* 3 times in a row.*optim\.lr"):
        meter.flush()


def test_speed_leaves_pauses_out(log, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    meter = Meter(
        log, dataclasses.replace(PAPER.train, steps=99, batch_size=8), start=0
    )
    for step, seconds in ((1, 100.0), (2, 0.5), (3, 0.5)):
        now[0] += seconds  # the first one compiles
        meter.add(step, scalars())
    assert meter.seconds_per_step == pytest.approx(0.5)
    meter.pause(0.25)
    for step, seconds in ((4, 50.0), (5, 0.5)):
        now[0] += seconds
        meter.add(step, scalars())
    assert meter.seconds_per_step == pytest.approx(0.5)
    meter.flush()
    assert meter.text == "loss 0.500, val CCC 0.250, 2.00 steps/s, 16 windows/s"


def test_a_resumed_run_shows_the_last_validation(tmp_path, log):
    log.metrics(3, {"val_ccc": 0.5})
    assert (
        "val CCC 0.500"
        in Meter(log, dataclasses.replace(PAPER.train, steps=9), start=3).text
    )
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["val_ccc"] == 0.5
