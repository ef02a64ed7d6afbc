"""Logs: strict JSON, cut back to the restored step, marked when simulated."""

import json

import pytest

from damamba_jax.errors import ConfigError
from damamba_jax.runs import run_log
from damamba_jax.runs.run_log import RunLog, read


def lines_of(path):
    return [line["step"] for line in read(path)]


def test_lines_are_strict_json_and_say_simulated(tmp_path):
    log = RunLog(tmp_path, step=0, simulated=True)
    log.metrics(1, {"loss": float("nan"), "skipped": 0})
    log.timing(1, {"steps_per_second": 2.0})
    log.close()
    text = (tmp_path / "metrics.jsonl").read_text()
    expected = {"step": 1, "loss": None, "skipped": 0, "simulated": True}
    assert json.loads(text) == expected
    (timing,) = read(tmp_path / "timing.jsonl")
    assert timing == {"step": 1, "steps_per_second": 2.0, "simulated": True}
    assert log.values("loss") == []


def test_resuming_cuts_back_to_the_restored_step(tmp_path):
    log = RunLog(tmp_path, step=0, simulated=False)
    for step in (1, 2, 3):
        log.metrics(step, {"loss": 1.0 / step})
        log.timing(step, {"steps_per_second": 1.0})
    log.metrics(2, {"late": 1.0})
    log.close()
    again = RunLog(tmp_path, step=2, simulated=False)
    assert lines_of(tmp_path / "metrics.jsonl") == [1, 2]
    assert lines_of(tmp_path / "timing.jsonl") == [1, 2]
    assert again.values("loss") == [1.0, 0.5]
    assert again.has(2, "loss") and not again.has(3, "loss")
    assert not again.has(2, "val_ccc")
    again.metrics(2, {"val_ccc": 0.25})
    assert again.has(2, "val_ccc")
    again.close()


@pytest.mark.parametrize("tail", ['{"step": 2, "lo', '{"step": 2}', "\x00\x00", "[]\n"])
def test_what_a_crash_left_of_the_last_line_is_dropped(tmp_path, tail):
    path = tmp_path / "metrics.jsonl"
    whole = '{"step": 1, "loss": 0.1, "simulated": false}\n'
    path.write_text(whole + tail)
    reader = RunLog(tmp_path, step=5, simulated=False, write=False)
    assert reader.values("loss") == [0.1]
    assert path.read_text() == whole + tail
    RunLog(tmp_path, step=5, simulated=False).close()
    assert path.read_text() == whole


def test_all_but_the_first_process_only_remember(tmp_path):
    log = RunLog(tmp_path, step=0, simulated=False, tensorboard=True, write=False)
    log.metrics(1, {"val_ccc": 0.5})
    assert log.has(1, "val_ccc")
    log.close()
    assert not list(tmp_path.iterdir())


def test_tensorboard_events_say_simulated(tmp_path, monkeypatch):
    added = []

    class Board:
        def add_scalar(self, tag, value, step):
            added.append((tag, value, step))

        def close(self):
            added.append("closed")

    monkeypatch.setattr(run_log, "_board", lambda *_: Board())
    log = RunLog(tmp_path, step=0, simulated=True, tensorboard=True)
    log.metrics(4, {"loss": 0.5})
    log.close()
    assert added == [("simulated/metrics/loss", 0.5, 4), "closed"]


def test_tensorboard_that_is_not_installed_is_explained(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match="pip install tensorboardX"):
        RunLog(tmp_path, step=0, simulated=True, tensorboard=True)
