"""The study of effects: what runs, what is kept, what a difference is."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

from damamba_jax import evaluate
from damamba_jax.config.smoothing import parse_smoothing
from damamba_jax.config.tree import flatten, from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.runtime.command import make_console
from damamba_jax.runtime.stop import Stopped
from damamba_jax.studies import effects, engine, runs
from damamba_jax.studies.command import STUDIES, main
from damamba_jax.studies.engine import read_scores
from tests.studies.finished import SESSIONS

NOISE = {"default": 0.10, "forward": 0.15, "mamba2": 0.10}
ORACLES = dict(zip(effects.SPLITS, (0.9, 0.8), strict=True))


@pytest.fixture
def asked(trained):
    trained.noise, trained.oracles = NOISE, ORACLES
    return trained.asked


def test_every_row_is_a_valid_change_of_the_demo():
    plain = from_config_dict(noxi.get_config("demo"))
    for preset in effects.PRESETS:
        study = effects.describe(preset, seeds=[7])
        found = dataclasses.replace(study.base, name=plain.name)
        assert (found == plain) == (preset == "demo")
        default, *others = engine.list_runs(study, pathlib.Path())
        for run in others:
            assert (run.config.model, run.config.data, run.config.optim) != (
                default.config.model, default.config.data, default.config.optim,
            ), run.title  # fmt: skip
            assert (run.config.train, run.config.seed) == (default.config.train, 7)
    for text in effects.SMOOTHINGS.values():
        assert parse_smoothing(text).seconds > 0


def test_differences_are_paired_over_seeds_and_sessions(asked, tmp_path, capsys):
    rows = "--rows=ensemble,gaussian-2s,mamba2,forward"
    assert main(["effects", f"--out={tmp_path}", rows, "--seeds=0,1,0"]) == 0
    # Effect by effect: seeds share what was compiled, and none is there twice.
    names = ("default", "forward", "mamba2")
    assert asked == [(f"{name}, seed {seed}", 1) for name in names for seed in (0, 1)]
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

    tree = json.loads((tmp_path / "effects.json").read_text())
    default, forward, _, smoothed, ensemble = tree["rows"]
    assert tree["config"]["name"] == "effects-demo" and tree["seeds"] == [0, 1]
    for split, best in ORACLES.items():
        for row in (default, forward):
            folders = [tmp_path / "runs" / f"{row['key']}-{seed}" for seed in (0, 1)]
            stored = [read_scores(folder)[split].scores.ccc for folder in folders]
            assert row["ccc"][split] == stored
            assert row["share"][split] == pytest.approx(np.mean(stored) / best)
        gap = forward["gap"][split]
        assert (gap["num_seeds"], gap["num_sessions"]) == (2, len(SESSIONS))
        by_hand = np.subtract(default["ccc"][split], forward["ccc"][split])
        assert gap["mean"] == pytest.approx(by_hand.mean())
        assert gap["seed_error"] == pytest.approx(by_hand.std(ddof=1) / np.sqrt(2))
        assert smoothed["gap"][split]["mean"] < 0
        # The mean of two predictions is closer than each, and compared with their mean.
        (ccc,) = ensemble["ccc"][split]
        gap = ensemble["gap"][split]
        assert -gap["mean"] == pytest.approx(ccc - np.mean(default["ccc"][split]))
        assert gap["mean"] < 0 and gap["seed_error"] is None
        assert gap["standard_error"] == gap["session_error"] > 0
    for name in ("md", "json", "png"):
        assert (tmp_path / f"effects.{name}").stat().st_size > 0


def test_side_by_side_different_programs_come_first(asked, tmp_path):
    argv = ["effects", f"--out={tmp_path}", "--rows=forward,ensemble", "--preset=small"]
    assert main([*argv, "--jobs=3", "--seeds=0,1"]) == 0
    titles = [
        f"{name}, seed {seed}" for seed in (0, 1) for name in ("default", "forward")
    ]
    assert asked == [(title, 3) for title in titles]


def test_one_seed_is_no_ensemble_and_has_no_error(asked, tmp_path):
    argv = ["effects", f"--out={tmp_path}", "--effects=forward,ensemble", "--seeds=4"]
    assert main(argv) == 0
    rows = json.loads((tmp_path / "effects.json").read_text())["rows"]
    assert [row["key"] for row in rows] == ["default", "forward"]
    gap = rows[1]["gap"][effects.SPLITS[0]]
    assert gap["standard_error"] is None and gap["session_error"] > 0


def test_wrong_flags_are_named(asked, tmp_path, capsys):
    argv = ["effects", f"--out={tmp_path}", "--rows=default", "--seeds=0"]
    for wrong, message in {
        "--jobs=0": "expected a whole number of at least 1, got '0'",
        "--sedes=1": "did you mean '--seeds'?",
        "--preset=smal": "`--preset`: unknown preset 'smal'; did you mean 'small'?",
        "--seeds=0,one": "`--seeds`: expected whole numbers with commas between, got "
        "'0,one'",
        "--split=noxi/val": "`--split`: expected only with context-length",
        "--config=configs/noxi.py": "`--config`: expected only with ablation",
    }.items():
        with pytest.raises(SystemExit) as end:
            main([*argv, wrong])
        assert end.value.code == 2 and message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="'mamba3'; did you mean 'mamba2'"):
        main([*argv, "--rows=mamba3"])
    assert asked == []


def test_a_signal_ends_it(quiet, drawn, monkeypatch, tmp_path, capsys):
    def stopped(*_, stop, **__):
        stop._signal = 15
        raise Stopped("SIGTERM")

    monkeypatch.setattr(engine, "train_all", stopped)
    with pytest.raises(SystemExit) as end:
        main(["effects", f"--out={tmp_path}"])
    assert end.value.code == 143
    assert "the same command resumes" in capsys.readouterr().out


@pytest.mark.slow
def test_a_tiny_run_is_trained_once_and_bound_to_its_settings(
    quiet, monkeypatch, tmp_path, capsys
):
    """The tiny corpus has a validation split alone."""
    monkeypatch.setattr(effects, "SPLITS", ("noxi/val",))
    demo, small = (flatten(noxi.get_config(p).to_dict()) for p in ("demo", "tiny"))
    tiny = {
        **{path: small[path] for path in demo if small[path] != demo[path]},
        "train.steps": 2, "model.scan": "reference",
        "model.direction": "bidirectional", "data.normalization": "session",
        "data.cache_dir": str(tmp_path / "cache"),
    }  # fmt: skip
    monkeypatch.setitem(effects.PRESETS, "tiny", tiny)
    monkeypatch.setitem(STUDIES, "effects", ("demo", "tiny"))
    argv = ["effects", f"--out={tmp_path}", "--rows=exponential-0.5s", "--seeds=3"]
    argv += ["--preset=tiny"]
    # Optax mixes dtypes.
    with jax.numpy_dtype_promotion("standard"):
        assert main(argv) == 0
    tree = json.loads((tmp_path / "effects.json").read_text())
    default, smoothed = (row["ccc"]["noxi/val"] for row in tree["rows"])
    assert default != smoothed
    assert "simulated effects: 2/2 steps" in capsys.readouterr().out
    monkeypatch.setattr(evaluate, "show_log", make_console)
    # As an evaluation smooths.
    workdir, out = tmp_path / "runs" / "default-3", tmp_path / "smoothed"
    evaluate.main(
        [f"--workdir={workdir}", f"--out={out}", "--smoothing=exponential:0.5"]
    )
    assert smoothed == [pytest.approx(read_scores(out)["noxi/val"].scores.ccc)]

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(runs, "train", refuse)
    assert main(argv) == 0
    monkeypatch.setitem(tiny, "optim.lr", 0.25)
    with pytest.raises(SystemExit, match="optim.lr"):
        main(argv)
