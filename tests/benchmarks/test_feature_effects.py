"""The table of effects: what runs, what is kept, what a difference is."""

import dataclasses
import importlib
import json
import pathlib
import sys

import jax
import numpy as np
import pytest

from damamba_jax import evaluate, train
from damamba_jax.config.tree import flatten, from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.inference.smoothing import parse_smoothing
from damamba_jax.metrics.intervals import score
from damamba_jax.metrics.trace import Trace
from damamba_jax.runs.traces import write_traces
from damamba_jax.runtime.stop import Stopped
from damamba_jax.studies.ablation_scores import read_scores

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
SESSIONS, FRAMES = ("a", "b", "c"), 400


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("feature_effects")
    monkeypatch.setattr(module, "show_log", lambda level: None)
    monkeypatch.setattr(module, "keep_compiled", lambda folder: None)
    yield module
    sys.modules.pop("feature_effects")


# How far off a row's predictions are; noise that smoothing and averaging take away.
NOISE = {"default": 0.10, "forward": 0.15, "mamba2": 0.10}
ORACLES = (0.9, 0.8)


def finish(run, splits):
    """Leaves behind what a finished run does, with noise of its own in every split."""
    *_, name = run.config.name.split("-")
    found = []
    for i, split in enumerate(splits):
        rng = np.random.default_rng((run.config.seed, i))
        label = 0.5 + 0.3 * np.sin(np.linspace(0, 6, FRAMES))
        traces = [
            Trace(
                split=split, session=session, role="expert", language="English",
                label=label,
                prediction=label + (i + 1) * NOISE[name] * rng.normal(size=FRAMES),
            )
            for session in SESSIONS
        ]  # fmt: skip
        write_traces(run.folder, traces)
        found.append({"split": split, "scores": {}, "oracle": {"ccc": ORACLES[i]}})
        found[-1]["scores"]["ccc"] = score(traces).ccc
    text = json.dumps({"results": [{"splits": found}]})
    (run.folder / "results.json").write_text(text)


@pytest.fixture
def trained(benchmark, monkeypatch):
    """Runs that were asked for, in this order; nothing is trained."""
    asked = []

    def train_all(chosen, *, title, jobs, stop, console):
        for run in chosen:
            asked.append((run.title, jobs))
            finish(run, benchmark.SPLITS)

    monkeypatch.setattr(benchmark, "train_all", train_all)
    monkeypatch.setattr(benchmark, "open_corpus", lambda data: None)
    return asked


def test_every_row_is_a_valid_change_of_the_demo(benchmark):
    plain = from_config_dict(noxi.get_config("demo"))
    for preset in benchmark.PRESETS:
        base = benchmark.configure(preset)
        found = dataclasses.replace(from_config_dict(base), name=plain.name)
        assert (found == plain) == (preset == "demo")
        default, *others = benchmark.make_runs(
            base, list(benchmark.EFFECTS), [7], pathlib.Path()
        )
        for run in others:
            assert (run.config.model, run.config.data, run.config.optim) != (
                default.config.model, default.config.data, default.config.optim,
            ), run.title  # fmt: skip
            assert (run.config.train, run.config.seed) == (default.config.train, 7)
    for text in benchmark.SMOOTHINGS.values():
        assert parse_smoothing(text).seconds > 0


def test_differences_are_paired_over_seeds_and_sessions(
    benchmark, trained, tmp_path, capsys
):
    effects = "--effects=ensemble,gaussian-2s,mamba2,forward"
    assert benchmark.main([f"--out={tmp_path}", effects, "--seeds=0,1,0"]) == 0
    # Effect by effect: seeds share what was compiled, and none is there twice.
    names = ("default", "forward", "mamba2")
    assert trained == [(f"{name}, seed {seed}", 1) for name in names for seed in (0, 1)]
    table = capsys.readouterr().out
    lines = [line[2:-2] for line in table.splitlines() if line.startswith("| ")]
    rows = {name: cells for name, *cells in (line.split(" | ") for line in lines[2:])}
    assert list(rows) == ["default", "forward", "mamba2", "gaussian-2s", "ensemble"]
    assert rows["default"][1] == "–"
    # The same predictions: no difference, and no doubt about it.
    assert rows["mamba2"][:2] == [rows["default"][0], "+0.000 ± 0.000"]
    assert rows["forward"][1].startswith("-0.")
    assert rows["gaussian-2s"][2].endswith(" %*")
    assert "±" not in rows["ensemble"][0]

    tree = json.loads((tmp_path / "feature_effects.json").read_text())
    default, forward, _, smoothed, ensemble = tree["rows"]
    assert tree["config"]["name"] == "effects-demo" and tree["seeds"] == [0, 1]
    for split, best in zip(benchmark.SPLITS, ORACLES, strict=True):
        for row in (default, forward):
            folders = [tmp_path / "runs" / f"{row['name']}-{seed}" for seed in (0, 1)]
            stored = [read_scores(f)[split]["scores"]["ccc"] for f in folders]
            assert row["ccc"][split] == pytest.approx(stored)
            assert row["share"][split] == pytest.approx(np.mean(stored) / best)
        gain = forward["gain"][split]
        assert (gain["num_seeds"], gain["num_sessions"]) == (2, len(SESSIONS))
        by_hand = np.subtract(forward["ccc"][split], default["ccc"][split])
        assert gain["mean"] == pytest.approx(by_hand.mean())
        assert gain["seed_error"] == pytest.approx(by_hand.std(ddof=1) / np.sqrt(2))
        assert smoothed["gain"][split]["mean"] > 0
        # The mean of two predictions is closer than each, and compared with their mean.
        (ccc,) = ensemble["ccc"][split]
        gain = ensemble["gain"][split]
        assert gain["mean"] == pytest.approx(ccc - np.mean(default["ccc"][split]))
        assert gain["mean"] > 0 and gain["seed_error"] is None
        assert gain["standard_error"] == gain["session_error"] > 0
    for name in ("md", "json", "png"):
        assert (tmp_path / f"feature_effects.{name}").stat().st_size > 0


def test_side_by_side_different_programs_come_first(benchmark, trained, tmp_path):
    argv = [f"--out={tmp_path}", "--effects=forward,ensemble", "--preset=small"]
    assert benchmark.main([*argv, "--jobs=3", "--seeds=0,1"]) == 0
    titles = [
        f"{name}, seed {seed}" for seed in (0, 1) for name in ("default", "forward")
    ]
    assert trained == [(title, 3) for title in titles]


def test_one_seed_is_no_ensemble_and_has_no_error(benchmark, trained, tmp_path):
    argv = [f"--out={tmp_path}", "--effects=forward,ensemble", "--seeds=4"]
    assert benchmark.main(argv) == 0
    rows = json.loads((tmp_path / "feature_effects.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["default", "forward"]
    gain = rows[1]["gain"][benchmark.SPLITS[0]]
    assert gain["standard_error"] is None and gain["session_error"] > 0


def test_wrong_flags_are_named(benchmark, trained, tmp_path, capsys):
    argv = [f"--out={tmp_path}", "--effects=default", "--seeds=0"]
    for wrong, message in {
        "--effects=mamba3": "got 'mamba3'",
        "--jobs=0": "expected at least 1, got 0",
        "--sedes=1": "--sedes=1",
    }.items():
        with pytest.raises(SystemExit):
            benchmark.main([*argv, wrong])
        assert message in capsys.readouterr().err
    assert benchmark.main([*argv, "--seeds=0,one"]) == 1
    message = "`--seeds`: expected whole numbers with commas between, got '0,one'"
    assert message in capsys.readouterr().err
    assert trained == []


def test_a_signal_ends_it(benchmark, monkeypatch, tmp_path, capsys):
    def stopped(*_, stop, **__):
        stop._signal = 15
        raise Stopped("SIGTERM")

    monkeypatch.setattr(benchmark, "train_all", stopped)
    monkeypatch.setattr(benchmark, "open_corpus", lambda data: None)
    assert benchmark.main([f"--out={tmp_path}"]) == 143
    assert "the same command resumes" in capsys.readouterr().out


def test_a_tiny_run_is_trained_once_and_bound_to_its_settings(
    benchmark, monkeypatch, tmp_path, capsys
):
    """The tiny corpus has a validation split alone."""
    monkeypatch.setattr(benchmark, "SPLITS", ("noxi/val", "noxi/val"))
    demo, small = (flatten(noxi.get_config(p).to_dict()) for p in ("demo", "tiny"))
    tiny = {
        **{path: small[path] for path in demo if small[path] != demo[path]},
        "train.steps": 2, "model.scan": "reference",
        "model.direction": "bidirectional", "data.normalization": "session",
        "data.cache_dir": str(tmp_path / "cache"),
    }  # fmt: skip
    monkeypatch.setitem(benchmark.PRESETS, "tiny", tiny)
    argv = [f"--out={tmp_path}", "--effects=exponential-0.5s", "--seeds=3"]
    argv += ["--preset=tiny"]
    # Optax mixes dtypes.
    with jax.numpy_dtype_promotion("standard"):
        assert benchmark.main(argv) == 0
    tree = json.loads((tmp_path / "feature_effects.json").read_text())
    default, smoothed = (row["ccc"]["noxi/val"] for row in tree["rows"])
    assert default != smoothed
    assert "simulated effects: 2/2 steps" in capsys.readouterr().out
    monkeypatch.setattr(evaluate, "show_log", lambda: None)
    # As an evaluation smooths.
    workdir, out = tmp_path / "runs" / "default-3", tmp_path / "smoothed"
    evaluate.main(
        [f"--workdir={workdir}", f"--out={out}", "--smoothing=exponential:0.5"]
    )
    assert smoothed == [pytest.approx(read_scores(out)["noxi/val"]["scores"]["ccc"])]

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "train", refuse)
    assert benchmark.main(argv) == 0
    monkeypatch.setitem(tiny, "optim.lr", 0.25)
    assert benchmark.main(argv) == 1
    assert "optim.lr" in capsys.readouterr().err
