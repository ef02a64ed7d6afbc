"""The table of effects: what runs, what is kept, what a difference is."""

import importlib.util
import json
import math
import pathlib

import pytest
from training_child import OVERRIDES

from damamba_jax.config import from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.smoothing import parse_smoothing

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "feature_effects.py"


@pytest.fixture
def benchmark():
    spec = importlib.util.spec_from_file_location("feature_effects", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# CCC by row and seed, and the steps per second that a run logs.
CCC = {
    "default": (0.70, 0.74),
    "forward": (0.71, 0.77),
    "mamba2": (0.69, 0.73),
    "gaussian-2s": (0.75, 0.79),
    "ensemble": (0.80,),
}


@pytest.fixture
def commands(benchmark, monkeypatch):
    """Commands that were run; each leaves the scores of `CCC` behind."""
    found = []

    def run(command, log, *, compiled):
        found.append(command)
        flags = dict(flag.split("=", 1) for flag in command[1:] if "=" in flag)
        folder = pathlib.Path(flags.get("--out", flags["--workdir"]))
        name, _, seed = folder.name.rpartition("-")
        ccc = CCC[name][int(seed.split("+")[0])]
        folder.mkdir(parents=True)
        splits = [
            {"split": benchmark.SPLIT, "scores": {"ccc": ccc}, "share_of_oracle": 0.9},
            {"split": benchmark.SHIFTED, "scores": {"ccc": ccc - 0.1}},
        ]
        tree = {"results": [{"splits": splits}]}
        (folder / "results.json").write_text(json.dumps(tree))
        if command[0] == "damamba_jax.train":
            speeds = [{}, *({"steps_per_second": s} for s in (2.0, 4.0, 5.0))]
            lines = (json.dumps({"step": i, **s}) for i, s in enumerate(speeds))
            (folder / "timing.jsonl").write_text("\n".join(lines))

    monkeypatch.setattr(benchmark, "run", run)
    return found


def test_every_row_is_a_valid_change_of_the_demo(benchmark):
    plain = from_config_dict(noxi.get_config("demo"))
    for name, changes in benchmark.EFFECTS.items():
        config = noxi.get_config("demo")
        config.update_from_flattened_dict(changes)
        assert (from_config_dict(config) == plain) == (name == benchmark.DEFAULT), name
    for text in benchmark.SMOOTHINGS.values():
        assert parse_smoothing(text).seconds > 0


def test_differences_are_paired_and_finished_cells_are_kept(
    benchmark, commands, tmp_path, capsys
):
    effects = "--effects=forward,mamba2,gaussian-2s,ensemble"
    argv = [f"--out={tmp_path}", effects, "--seeds=0,1"]
    assert benchmark.main(argv) == 0
    table = capsys.readouterr().out
    assert "| default | 0.720 | 90.0 % | – | – | 0.620 | 250 | 2 |" in table
    # +0.01 and +0.03; -0.01 and -0.01.
    assert "| forward | 0.740 | 90.0 % | +0.0200 | 0.0100 | 0.640 | 250 | 2 |" in table
    assert "| mamba2 | 0.710 | 90.0 % | -0.0100 | 0.0000 | 0.610 | 250 | 2 |" in table
    assert "| gaussian-2s | 0.770 | 90.0 %* | +0.0500 | 0.0000 | 0.670 | – | 2 |" in (
        table
    )
    # Of all seeds, to the mean of its members.
    assert "| ensemble | 0.800 | 90.0 % | +0.0800 | – | 0.700 | – | 2 |" in table
    assert len(commands) == 9
    assert commands[-1][1:4] == [
        *(f"--workdir={tmp_path / 'runs' / f'default-{seed}'}" for seed in (0, 1)),
        "--ensemble",
    ]
    changed = [c for c in commands if "--config.model.direction=forward" in c]
    assert [
        f"--config.seed={seed}" in c for c, seed in zip(changed, (0, 1), strict=True)
    ]
    (smoothed, *_) = [c for c in commands if c[0] == "damamba_jax.evaluate"]
    assert "--smoothing=gaussian:2" in smoothed
    assert f"--workdir={tmp_path / 'runs' / 'default-0'}" in smoothed
    for name in ("md", "json", "png"):
        assert (tmp_path / f"feature_effects.{name}").stat().st_size > 0
    tree = json.loads((tmp_path / "feature_effects.json").read_text())
    assert len(tree["cells"]) == 9
    assert [cell["seed"] for cell in tree["cells"]] == 4 * [0] + 4 * [1] + ["0+1"]
    error = [row["standard_error"] for row in tree["rows"]]
    assert error[1] == pytest.approx(math.sqrt(2) * 0.01 / math.sqrt(2))

    assert benchmark.main(argv) == 0
    assert len(commands) == 9
    (tmp_path / "cells" / "mamba2-1.json").unlink()
    (tmp_path / "runs" / "mamba2-1" / "results.json").unlink()
    (tmp_path / "runs" / "mamba2-1" / "timing.jsonl").unlink()
    (tmp_path / "runs" / "mamba2-1").rmdir()
    assert benchmark.main(argv) == 0
    assert len(commands) == 10


def test_runs_of_the_small_preset_go_side_by_side(benchmark, commands, tmp_path):
    argv = [f"--out={tmp_path}", "--effects=forward,gaussian-2s", "--seeds=0,1,0"]
    assert benchmark.main([*argv, "--preset=small", "--jobs=3"]) == 0
    # Smoothing needs the default's runs, and no run is there twice.
    kinds = [command[0] for command in commands]
    assert kinds == 4 * ["damamba_jax.train"] + 2 * ["damamba_jax.evaluate"]
    for command in commands[:4]:
        assert set(benchmark.PRESETS["small"]) <= set(command)


def test_a_failing_run_ends_the_table(benchmark, commands, monkeypatch, tmp_path):
    def fail(command, log, *, compiled):
        raise SystemExit(f"{log}: ended with status 1.")

    monkeypatch.setattr(benchmark, "run", fail)
    with pytest.raises(SystemExit, match=r"default-0\.log: ended with status 1"):
        benchmark.main([f"--out={tmp_path}", "--effects=forward", "--jobs=2"])


def test_cells_of_other_settings_are_refused(benchmark, commands, tmp_path):
    argv = [f"--out={tmp_path}", "--effects=default", "--seeds=0"]
    assert benchmark.main([*argv, "--config.train.steps=7"]) == 0
    assert "--config.train.steps=7" in commands[0]
    assert benchmark.main([*argv, "--config.train.steps=7"]) == 0
    with pytest.raises(SystemExit, match="Choose another folder"):
        benchmark.main(argv)
    assert len(commands) == 1
    for wrong in (["--effects=mamba3"], ["--sedes=1"]):
        with pytest.raises(SystemExit):
            benchmark.main([*argv, *wrong])


def test_a_tiny_run_and_its_smoothing(benchmark, monkeypatch, tmp_path, capsys):
    """With the real commands; the tiny corpus has a validation split alone."""
    monkeypatch.setattr(benchmark, "SPLIT", "noxi/val")
    monkeypatch.setattr(benchmark, "SHIFTED", "noxi/val")
    tiny = {
        **OVERRIDES, "train.steps": 2, "model.direction": "bidirectional",
        "model.modality_dropout": 0.2, "data.normalization": "session",
    }  # fmt: skip
    argv = [
        f"--out={tmp_path}", "--effects=exponential-0.5s", "--seeds=3",
        *(f"--config.{field}={value}" for field, value in tiny.items()),
    ]  # fmt: skip
    assert benchmark.main(argv) == 0
    default, smoothed = json.loads((tmp_path / "feature_effects.json").read_text())[
        "cells"
    ]
    assert default["ccc"] != smoothed["ccc"]
    assert smoothed["ms_per_step"] is None
    assert "| exponential-0.5s |" in capsys.readouterr().out

    def fail(*_, **__):
        pytest.fail("a finished cell ran again")

    monkeypatch.setattr(benchmark, "run", fail)
    assert benchmark.main(argv) == 0
