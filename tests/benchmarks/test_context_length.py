"""The benchmark of window lengths, on a model of a few hundred parameters."""

import importlib
import io
import json
import pathlib
import sys

import jax
import pytest
import training_child as child
from rich.console import Console

from damamba_jax import train
from damamba_jax.data.oracle import score as oracle_score
from damamba_jax.errors import ConfigError
from damamba_jax.runtime.stop import Stopped, StopRequest

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "context_length.py"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(PATH.parent))
    module = importlib.import_module("context_length")
    monkeypatch.setattr(module, "keep_compiled", lambda folder: None)
    yield module
    for name in (
        "context_length", "systems", "step_process", "memory_report", "kept_steps",
    ):  # fmt: skip
        sys.modules.pop(name)


def tiny(cache_dir):
    steps = {"train.steps": 2, "train.eval_every": 2, "train.batch_size": 8}
    return child.configure(cache_dir, **steps)


def run(benchmark, base, out, lengths=(32,)):
    console = Console(file=io.StringIO(), width=200)
    # Optax mixes dtypes.
    with StopRequest() as stop, jax.numpy_dtype_promotion("standard"):
        points = benchmark.measure(
            base, lengths, out, split="noxi/val", stop=stop, console=console
        )
    benchmark.publish(points, base, out, split="noxi/val", console=console)
    return points, console.file.getvalue()


@pytest.mark.parametrize("preset", ["paper", "published", "small"])
def test_every_length_costs_the_same(benchmark, preset):
    base = benchmark.configure(preset)
    sizes = []
    for frames in benchmark.LENGTHS:
        config = benchmark.resize(base, frames)
        window = config.data.window
        assert window.core_frames * 3 == window.stride_frames * 3 == frames
        assert config.optim == base.optim and config.model == base.model
        assert config.train.steps == base.train.steps
        sizes.append(config.train.batch_size)
        assert sizes[-1] * frames == base.train.batch_size * 96
    assert sizes[-1] >= 2
    for frames in (100, 96 * base.train.batch_size * 2):
        with pytest.raises(ConfigError, match=f"expected divisors.*got {frames}"):
            benchmark.resize(base, frames)


def test_lengths_are_trained_scored_and_drawn_once(benchmark, tmp_path, monkeypatch):
    base = tiny(tmp_path / "cache")
    out = tmp_path / "out"
    points, said = run(benchmark, base, out)
    assert [p.frames for p in points] == [32, None]
    assert [p.batch_size for p in points] == [8, 8]
    (root,) = (tmp_path / "cache").glob("simulated-tiny-*")
    for point, frames in zip(points, (32, None), strict=True):
        window = base.data.window if frames else None
        seen = oracle_score.oracle_ccc(root, "noxi/val", window=window, causal=True)
        assert point.oracle == pytest.approx(seen.r)
        assert -1 < point.low <= point.ccc <= point.high < point.oracle
    assert points[0].oracle < points[1].oracle
    assert "| whole session |" in said and "2 steps of 256 frames" in said
    assert (out / "context_length.png").read_bytes().startswith(b"\x89PNG")
    tree = json.loads((out / "context_length.json").read_text())
    assert [p["ccc"] for p in tree["points"]] == [p.ccc for p in points]

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "train", refuse)
    monkeypatch.setattr(benchmark, "load_checkpoint", refuse)
    assert run(benchmark, base, out)[0] == points


def test_lengths_share_one_folder_and_whole_sessions_come_last(
    benchmark, tmp_path, monkeypatch
):
    base = tiny(tmp_path / "cache")
    trained = []

    def pretend(config, folder, **_):
        trained.append(config.data.window.window_frames)
        (folder / "checkpoints" / "last" / "2").mkdir(parents=True)
        write(folder, ccc=0.5 + trained[-1] / 1000)

    def write(folder, *, ccc):
        scores = {"ccc": ccc, "ccc_low": None, "ccc_high": None}
        split = {"split": "noxi/val", "scores": scores, "oracle": {"ccc": 0.8}}
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"results": [{"splits": [split]}]})
        (folder / "results.json").write_text(text)

    monkeypatch.setattr(train, "train", pretend)
    folder = tmp_path / "out" / f"{base.name}-context64"
    write(folder / "long", ccc=0.7)
    points, said = run(benchmark, base, tmp_path / "out", lengths=(64, 32))
    assert trained == [32, 64]
    assert [point.frames for point in points] == [32, 64, None]
    assert [point.ccc for point in points] == pytest.approx([0.532, 0.564, 0.7])
    assert "| 64 | 2.56 | 4 | 0.564 | – | 0.800 | 70 % |" in said


def test_a_signal_ends_it_and_wrong_lengths_are_named(
    benchmark, tmp_path, monkeypatch, capsys
):
    def stopped(*_, stop, **__):
        stop._signal = 15
        raise Stopped("SIGTERM")

    monkeypatch.setattr(benchmark, "show_log", lambda level: None)
    monkeypatch.setattr(benchmark, "open_corpus", lambda data: None)
    monkeypatch.setattr(train, "train", stopped)
    options = ["--preset=small", f"--out={tmp_path}"]
    assert benchmark.main(options) == 143
    assert "the same command resumes" in capsys.readouterr().out
    assert benchmark.main([*options, "--lengths=96,97"]) == 1
    assert "got 97" in capsys.readouterr().err
    assert benchmark.main([*options, "--lengths=long"]) == 1
