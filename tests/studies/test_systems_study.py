"""The comparison of systems: equal windows, paired differences, a winner in bold."""

import json

import jax
import pytest

from benchmarks import systems as benchmark
from benchmarks.step import process
from benchmarks.step.steps import Steps
from damamba_jax.studies import systems
from damamba_jax.studies.command import main
from damamba_jax.studies.engine import Findings, RowScores

SPLIT = "noxi/test-base"


@pytest.mark.parametrize("name", ["published", "small"])
def test_systems_differ_in_model_and_losses_alone(name):
    ours, *others = [row.config for row in systems.describe(name).rows]
    assert ours.model.system == "damamba" and ours.optim.infonce_weight == 0.4
    same_rate = [other for other in others if other.optim.lr == ours.optim.lr]
    for other in same_rate:
        assert other.model.system == "dat" and other.optim.infonce_weight == 0.0
        assert (other.data, other.train) == (ours.data, ours.train)
    assert len({config.name for config in (ours, *same_rate)}) == 1 + len(same_rate) > 1


def test_published_sizes_are_compared():
    rows = {row.key: row.config for row in systems.describe("published").rows}
    dims = [
        rows[f"{key}-0.001"].model.group_ffn_dim
        for key in ("dat-paper_table", "dat-m", "dat-l")
    ]
    assert dims == [640, 1024, 1024]


STEP = {
    "parameters": 1234, "step_ms": 12.34, "compiled_bytes": 5_000_000_000,
    "allocated_bytes": None, "platform": "cpu", "device": "cpu", "jax": "1",
    "python": "3", "date": "2026-11-26",
}  # fmt: skip


def test_the_table_says_who_is_ahead(trained, monkeypatch, tmp_path):
    trained.noise = {"da-mamba-0.005": 0.10, "dat-small-0.005": 0.05}
    trained.oracles = {SPLIT: 0.95}
    asked = []

    def run(request, config, device):
        if request["task"] == "platform":
            return {"platform": STEP["platform"]}
        asked.append(request["task"])
        return {"ok": True} if request["task"] == "parity" else dict(STEP)

    monkeypatch.setattr(process, "run", run)
    argv = ["systems", "--preset=small", "--seeds=0,1", "--jobs=2", f"--out={tmp_path}"]
    assert main(argv, prepare=benchmark.measure) == 0
    assert [jobs for _, jobs in trained.asked] == [2] * 4
    lines = (tmp_path / "systems.md").read_text().splitlines()
    (ours,) = [line for line in lines if line.startswith("| DA-Mamba |")]
    (dat,) = [line for line in lines if line.startswith("| DAT small |")]
    assert "| – |" in ours and "**" not in ours and "| **+" in dat
    assert ours.endswith("| 322,689 | 12.3 | 5.00 |")
    assert "simulated" in lines[0] and SPLIT not in lines[2]
    tree = json.loads((tmp_path / "systems.json").read_text())
    assert tree["steps"]["DA-Mamba"]["step_ms"] == STEP["step_ms"]
    gap = tree["rows"][1]["gap"][SPLIT]
    assert gap["mean"] < 0 and gap["num_seeds"] == 2 and gap["num_sessions"] == 3
    assert (tmp_path / "systems.png").read_bytes().startswith(b"\x89PNG")
    # A second time nothing is measured again.
    before = len(asked)
    assert before == 4 and main(argv, prepare=benchmark.measure) == 0
    assert asked[before:] == []
    # With another jax the steps are others.
    monkeypatch.setattr(jax, "__version__", "99")
    assert main(argv, prepare=benchmark.measure) == 0
    assert len(asked) == 2 * before


def test_without_a_measurement_times_are_absent(drawn):
    study = systems.describe("small", seeds=[0])
    rows = tuple(
        RowScores(
            row=row, ccc={SPLIT: (0.5,)}, interval={}, oracle={}, gap={}, predicted={}
        )
        for row in study.rows
    )
    found = Findings(study=study, index=drawn, rows=rows)
    (table,) = systems.tables(found)
    assert [row[-2:] for row in table.rows] == [("–", "–")] * 2
    assert "benchmarks.systems" in table.notes[-1]


def test_a_step_without_memory_is_said():
    steps = {
        name: STEP | {"platform": "gpu", "step_ms": ms,
                      "allocated_bytes": 7_000_000_000 if ms else None}
        for name, ms in (("DA-Mamba", 12.3), ("DAT small", None))
    }  # fmt: skip
    costs = benchmark.describe_costs(steps)
    assert list(costs.milliseconds.values()) == ["12.3", "–"]
    assert list(costs.gigabytes.values()) == ["7.00", "out of memory"]
    assert "peak of the GPU's allocator" in costs.note


def test_what_ran_out_of_memory_is_not_kept(monkeypatch, tmp_path):
    gone = STEP | {"platform": "gpu", "step_ms": None}

    def run(request, config, device):
        return {"ok": True} if request["task"] == "parity" else dict(gone)

    monkeypatch.setattr(process, "run", run)
    config = systems.describe("small").rows[0].config
    steps = Steps("gpu", folder=tmp_path, run_on_cpu=True)
    step = benchmark.measure_step(config, steps)
    assert step["step_ms"] is None
    # The check alone is kept.
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text()) == {"ok": True}


def test_a_step_that_is_wrong_gets_no_table(trained, monkeypatch, tmp_path):
    wrong = {"ok": False, "other": "without remat"}
    monkeypatch.setattr(process, "run", lambda *_: wrong)
    monkeypatch.setattr(process, "find_device", lambda *_: "cpu")
    argv = ["systems", "--preset=small", f"--out={tmp_path}"]
    with pytest.raises(SystemExit, match="disagree"):
        main(argv, prepare=benchmark.measure)
    assert trained.asked == [] and not (tmp_path / "systems.md").exists()
