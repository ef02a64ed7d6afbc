"""The table of systems: equal windows, paired differences, a winner in bold."""

import importlib
import json
import pathlib
import sys

import numpy as np
import pytest

from damamba_jax.metrics.trace import Trace
from damamba_jax.runs.traces import write_traces

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
SPLIT = "noxi/test-base"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("systems")
    monkeypatch.setattr(module, "show_log", lambda level: None)
    monkeypatch.setattr(module, "keep_compiled", lambda folder: None)
    yield module
    for name in ("systems", "step_process", "memory_report", "kept_steps"):
        sys.modules.pop(name)


@pytest.mark.parametrize("name", ["published", "small"])
def test_systems_differ_in_model_and_losses_alone(benchmark, name):
    preset = benchmark.presets()[name]
    configs = [
        benchmark.configure(preset, system, preset.rates[0], 3)
        for system in preset.systems
    ]
    ours, *others = configs
    assert ours.model.system == "damamba" and ours.optim.infonce_weight == 0.4
    for other in others:
        assert other.model.system == "dat" and other.optim.infonce_weight == 0.0
        assert (other.data, other.train) == (ours.data, ours.train)
        assert (other.optim.lr, other.seed) == (ours.optim.lr, 3)
    assert len({config.name for config in configs}) == len(configs)


def test_published_sizes_are_compared(benchmark):
    preset = benchmark.presets()["published"]
    dims = [
        benchmark.configure(preset, system, 1e-3, 0).model.group_ffn_dim
        for system in ("DAT paper_table", "DAT m", "DAT l")
    ]
    assert dims == [640, 1024, 1024]


STEP = {
    "parameters": 1234, "step_ms": 12.34, "compiled_bytes": 5_000_000_000,
    "allocated_bytes": None, "platform": "cpu", "device": "cpu", "jax": "1",
    "python": "3", "date": "2026-11-26",
}  # fmt: skip


def finish(run, noise):
    """Leaves behind what a run scores whose predictions are so far off."""
    rng = np.random.default_rng(run.config.seed)
    traces = []
    for session in ("a", "b", "c"):
        label = np.linspace(0.2, 0.8, 200)
        traces.append(
            Trace(
                split=SPLIT, session=session, role="expert", language="English",
                label=label,
                prediction=label + noise * rng.normal(size=200),
            )
        )  # fmt: skip
    write_traces(run.folder, traces)
    splits = [
        {"split": SPLIT, "scores": {"ccc": 1 - noise}, "oracle": {"ccc": 0.95}},
        {"split": "noxi/val", "scores": {"ccc": 0.5}, "oracle": None},
    ]
    tree = {"results": [{"splits": splits}]}
    (run.folder / "results.json").write_text(json.dumps(tree))


def test_the_table_says_who_is_ahead(benchmark, monkeypatch, tmp_path, capsys):
    noise = {"da-mamba": 0.10, "dat-small": 0.05}
    asked = []

    def train_all(runs, *, jobs, **_):
        assert jobs == 2
        for run in runs:
            name = run.folder.name.rsplit("-", 2)[0]
            finish(run, noise[name])

    def run(request, config, device):
        if request["task"] == "platform":
            return {"platform": STEP["platform"]}
        asked.append(request["task"])
        return {"ok": True} if request["task"] == "parity" else dict(STEP)

    monkeypatch.setattr(benchmark, "train_all", train_all)
    monkeypatch.setattr(benchmark.step_process, "run", run)
    monkeypatch.setattr(benchmark, "open_corpus", lambda data: None)
    argv = ["--preset=small", "--seeds=0,1", "--jobs=2", f"--out={tmp_path}"]
    assert benchmark.main(argv) == 0
    lines = (tmp_path / "systems.md").read_text().splitlines()
    (ours,) = [line for line in lines if line.startswith("| DA-Mamba |")]
    (dat,) = [line for line in lines if line.startswith("| DAT small |")]
    assert "| 0.900 ± 0.000 | – | 95 % | 1,234 | 12.3 | 5.00 |" in ours
    assert "| 0.950 ± 0.000 | **+" in dat and "| 100 % |" in dat
    assert "simulated" in lines[0] and SPLIT not in lines[2]
    tree = json.loads((tmp_path / "systems.json").read_text())
    gap = tree["rows"][1]["behind"][SPLIT]
    assert gap["mean"] < 0 and gap["num_seeds"] == 2 and gap["num_sessions"] == 3
    assert (tmp_path / "systems.png").read_bytes().startswith(b"\x89PNG")
    # A second time nothing is measured again.
    before = len(asked)
    assert before == 4 and benchmark.main(argv) == 0
    assert asked[before:] == []
    # With another jax the steps are others.
    monkeypatch.setattr(sys.modules["kept_steps"].jax, "__version__", "99")
    assert benchmark.main(argv) == 0
    assert len(asked) == 2 * before


def test_a_step_without_memory_is_said_and_tried_again(benchmark, tmp_path):
    preset = benchmark.presets()["small"]
    steps = {
        system: STEP | {"platform": "gpu", "step_ms": ms,
                        "allocated_bytes": 7_000_000_000 if ms else None}
        for system, ms in zip(preset.systems, (12.3, None), strict=True)
    }  # fmt: skip
    rows = [benchmark.Row(s, 0.005, {SPLIT: [0.5]}, {}, {}) for s in preset.systems]
    made = benchmark.table(rows, steps, preset)
    assert [row[-2:] for row in made.rows] == [("12.3", "7.00"), ("–", "out of memory")]
    assert "peak of the GPU's allocator" in made.notes[-1]


def test_what_ran_out_of_memory_is_not_kept(benchmark, monkeypatch, tmp_path):
    gone = STEP | {"platform": "gpu", "step_ms": None}

    def run(request, config, device):
        return {"ok": True} if request["task"] == "parity" else dict(gone)

    monkeypatch.setattr(benchmark.step_process, "run", run)
    preset, kept = benchmark.presets()["small"], benchmark.KeptSteps(tmp_path, "gpu")
    config = benchmark.configure(preset, benchmark.OURS, 0.005, 0)
    step = benchmark._measure_step(config, kept, "gpu", beside_others=False)
    assert step["step_ms"] is None and not any(tmp_path.iterdir())


def test_a_step_that_is_wrong_gets_no_table(benchmark, monkeypatch, tmp_path, capsys):
    wrong = {"ok": False, "other": "without remat"}
    monkeypatch.setattr(benchmark.step_process, "run", lambda *_: wrong)
    monkeypatch.setattr(benchmark, "open_corpus", lambda data: None)
    monkeypatch.setattr(benchmark.step_process, "find_device", lambda *_: "cpu")
    assert benchmark.main(["--preset=small", f"--out={tmp_path}"]) == 1
    assert "disagree" in capsys.readouterr().err
    assert not (tmp_path / "systems.md").exists()


def test_seeds_that_are_none_are_refused(benchmark, capsys):
    assert benchmark.main(["--seeds=one"]) == 1
    assert "one" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        benchmark.main(["--jobs=0"])
    assert "--jobs: expected at least 1, got 0" in capsys.readouterr().err
