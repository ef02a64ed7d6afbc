"""The ablation: its rows, its runs, and its tables."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
import training_child as child
from rich.console import Console

from damamba_jax.config.tree import override
from damamba_jax.data.open import open_corpus
from damamba_jax.data.oracle import table as oracle_table
from damamba_jax.errors import ConfigError, WorkdirError
from damamba_jax.evaluation.published import ABLATION, PUBLISHED
from damamba_jax.evaluation.results import OracleReference
from damamba_jax.metrics.paired_gap import PairedGap
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies import ablation, engine, report, runs
from damamba_jax.studies.command import main
from damamba_jax.studies.engine import Findings, RowScores
from damamba_jax.training import loop as training_loop
from tests.example import small_config

OTHERS = list(ablation.ROWS)[1:]
BASE = "noxi/test-base"


def configure(cache_dir, **overrides):
    """The demo's model at a few thousand parameters, trained for two steps."""
    fields = {
        # One head fits every width.
        "model.dim": 16,
        "model.num_heads": 1,
        "model.dialogue_blocks": 1,
        "model.visual_blocks": 0,
        "model.direction": "bidirectional",
        # Compiles fastest.
        "model.scan": "reference",
        "train.steps": 2,
        "train.eval_every": 2,
    }
    return child.configure(cache_dir, **(fields | overrides))


def console():
    return Console(file=io.StringIO(), width=300)


@pytest.mark.parametrize(
    ("preset", "key"),
    [
        ("paper", OTHERS[2]),
        ("converged", OTHERS[3]),
        *(("small", key) for key in OTHERS),
    ],
)
def test_rows_have_the_full_models_parameters(preset, key):
    study = ablation.describe(preset, [key])
    full, other = [row.config for row in study.rows]
    assert full.model == study.base.model
    counts = [engine.count_parameters(config) for config in (full, other)]
    assert abs(counts[1] / counts[0] - 1) < ablation.PARAMETER_TOLERANCE
    # No other width comes nearer.
    width = other.model.dialogue_dim
    for near in (width - 1, width + 1):
        try:
            found = override(other, {"model.dialogue_dim": near})
        except ConfigError:
            continue
        off = abs(engine.count_parameters(found) - counts[0])
        assert near < full.model.dim or off >= abs(counts[1] - counts[0])


def test_rows_are_the_papers():
    switches = {
        row.key: (
            row.config.model.encoder,
            row.config.model.modality_fusion,
            row.config.model.partner_fusion,
        )
        for row in ablation.describe("small").rows
    }
    assert switches == {
        "full": ("mamba", True, True),
        "no-modality-fusion": ("mamba", False, True),
        "no-partner-fusion": ("mamba", True, False),
        "no-fusion": ("mamba", False, False),
        "transformer": ("transformer", True, True),
    }
    assert ABLATION.keys() == switches.keys()
    (paper,) = [row for row in PUBLISHED if row.method == "DA-Mamba (paper)"]
    assert ABLATION["full"][1:] == paper[1:]
    for row in ABLATION.values():
        mean = (row.base + row.add + row.mpiigi) / 3
        assert row.overall == pytest.approx(mean, abs=0.0101)


def test_a_width_that_cannot_be_given_back_is_an_error():
    base = small_config(dialogue_blocks=0)
    target = engine.count_parameters(base)
    with pytest.raises(ConfigError, match="within 2%.*Add a block"):
        ablation.match_parameters(base, 10 * target)


def test_unknown_rows_list_the_known_ones():
    with pytest.raises(ConfigError, match="'lstm'. Known: full, no-fusion, no-mod"):
        ablation.describe("small", ["transformer", "lstm"])


def test_configurations_are_given_by_file_and_field(quiet, drawn, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(engine, "train_all", lambda chosen, **_: asked.extend(chosen))
    argv = ["ablation", "--config", "configs/ablation.py:small", "--rows=full"]
    argv += ["--config.optim.lr=0.25", "--config.seed=5", "--num_seeds=2"]
    # Nothing was trained, so there is nothing to read.
    with pytest.raises(SystemExit, match="results.json"):
        main(argv)
    assert [run.config.seed for run in asked] == [5, 6]
    assert {run.config.optim.lr for run in asked} == {0.25}
    assert str(asked[0].folder) == "runs/ablation-small/full-seed5"
    with pytest.raises(SystemExit) as end:
        main([*argv, "--config.optim.rl=1"])
    assert end.value.code == 2
    assert "`--config.optim.rl`: unknown field" in capsys.readouterr().err


def run_ablation(folder):
    """A whole ablation of two rows and two seeds."""
    base = configure(folder / "cache")
    said = console()
    training_loop._compile_step.cache_clear()
    # Optax mixes dtypes.
    with jax.numpy_dtype_promotion("standard"):
        ablate(base, folder / "run", said)
    return (
        base,
        folder / "run",
        said.file.getvalue(),
        training_loop._compile_step.cache_info(),
    )


def ablate(base, folder, said):
    study = ablation.describe(base, ["no-partner-fusion"], [0, 1])
    with StopRequest() as stop:
        found = engine.run_study(study, folder, stop=stop, console=said)
    report.write_findings(found, folder, console=said)


@pytest.mark.slow
def test_a_whole_ablation_and_the_same_again(tmp_path, monkeypatch):
    # One test: cells that are trained for another worker cost as much again.
    base, folder, said, compiled = run_ablation(tmp_path)
    check_ablation(base, folder, said, compiled)
    check_it_is_finished(base, folder, monkeypatch)


def check_ablation(base, folder, said, compiled):
    # Compiled once a row, for both seeds.
    assert (compiled.misses, compiled.hits) == (2, 2)
    assert "simulated ablation: 8/8 steps" in said and "4 runs" in said
    tree = json.loads((folder / "ablation.json").read_text())
    assert tree["simulated"] is True
    full, other = tree["rows"]
    assert tree["seeds"] == [0, 1]
    for row in (full, other):
        for seed, ccc in zip(tree["seeds"], row["ccc"]["noxi/val"], strict=True):
            path = folder / f"{row['key']}-seed{seed}" / "results.json"
            (result,) = json.loads(path.read_text())["results"]
            assert result["splits"][0]["scores"]["ccc"] == ccc
    assert len(set(full["ccc"]["noxi/val"])) == 2
    gap = other["gap"]["noxi/val"]
    means = [np.mean(row["ccc"]["noxi/val"]) for row in (full, other)]
    assert gap["mean"] == pytest.approx(means[0] - means[1])
    assert gap["standard_error"] > 0
    (root,) = (folder.parent / "cache").glob("simulated-tiny-*")
    predicted = oracle_table.predict_gaps(root, "noxi/val", window=base.data.window)
    assert other["predicted"]["noxi/val"] == pytest.approx(predicted.partner)
    assert gap["num_frames"] == predicted.num_frames
    assert full["oracle"]["noxi/val"]["ccc"] == pytest.approx(predicted.best)
    assert full["share"]["noxi/val"] == pytest.approx(means[0] / predicted.best)
    text = (folder / "ablation.md").read_text()
    assert "| Mamba, modality fusion only |" in text and text in said + text
    assert "0.74 / 0.66 / 0.51 / 0.64" in text and "MMEA" in text
    assert (folder / "ablation.png").read_bytes().startswith(b"\x89PNG")


def check_it_is_finished(base, folder, monkeypatch):
    """It trains nothing again, and refuses another configuration."""

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(runs, "train", refuse)
    before = (folder / "ablation.json").read_text()
    ablate(base, folder, console())
    assert (folder / "ablation.json").read_text() == before
    with pytest.raises(WorkdirError, match="optim.lr"):
        ablate(override(base, {"optim.lr": 0.5}), folder, console())


def findings(index, *, measured=0.05, error=0.01, predicted=0.045):
    study = ablation.describe("small", OTHERS[:2])
    oracle = OracleReference(
        seen="3.84 s window", is_transfer=False, ccc=0.9, bare_ccc=0.88
    )
    paired = PairedGap(measured, error, error, 0.0, 3, 10, 9000)
    rows = [
        RowScores(
            row=row,
            ccc={BASE: (0.80 - i / 10, 0.81 - i / 10, 0.82 - i / 10)},
            interval={BASE: (0.7, 0.9)},
            oracle={BASE: oracle},
            gap={BASE: paired} if i else {},
            predicted={BASE: predicted} if i else {},
        )
        for i, row in enumerate(study.rows)
    ]
    return Findings(study=study, index=index, rows=tuple(rows))


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ("+0.045", "0.5", "yes")),
        ({"measured": 0.08}, ("+0.045", "3.5", "NO")),
        ({"predicted": None}, ("–", "–", "–")),
        ({"error": None}, ("+0.045", "–", "–")),
    ],
)
def test_a_gap_is_judged_by_its_standard_error(drawn, changes, cells):
    _, table, _ = ablation.tables(findings(drawn, **changes))
    found = dict(zip(table.columns, table.rows[0], strict=True))
    assert (found["predicted"], found["errors away"], found["within 3"]) == cells
    assert found["row"] == "Mamba, partner fusion only"
    assert found["published"] == "+0.02"


def test_tables_have_spread_and_published_numbers(drawn, tmp_path):
    scores, _, shares = ablation.tables(findings(drawn))
    row = dict(zip(scores.columns, scores.rows[1], strict=True))
    assert row["NoXi Base"] == "0.710 ± 0.010 [0.70, 0.90]"
    assert row["Global"] == "–"
    assert row["published"] == "0.75 / 0.66 / 0.48 / 0.63"
    assert "(simulated)" in scores.title
    assert shares.rows[0][-1] == "90 %"
    recorded = findings(dataclasses.replace(drawn, simulated=False))
    assert "simulated" not in ablation.tables(recorded)[0].to_markdown()
    report.write_findings(findings(drawn, error=None), tmp_path, console=console())
    assert {path.name for path in tmp_path.iterdir()} == {
        "ablation.md", "ablation.json", "ablation.png",
    }  # fmt: skip


def test_global_is_the_mean_of_three_tests_per_seed(drawn):
    ccc = {
        BASE: (0.8, 0.7),
        "noxi/test-additional": (0.6, 0.5),
        "mpiigroupinteraction/test": (0.4, 0.6),
    }
    row = dataclasses.replace(findings(drawn).rows[0], ccc=ccc)
    assert ablation.overall(row) == pytest.approx((0.6, 0.6))


def test_nothing_is_predicted_for_what_the_oracle_does_not_know(tmp_path):
    base = configure(tmp_path / "cache")
    index = open_corpus(base.data)
    full, row, transformer = ablation.describe(
        base, ["no-partner-fusion", "transformer"]
    ).rows
    root = next((tmp_path / "cache").glob("simulated-tiny-*"))
    known = oracle_table.predict_gaps(root, "noxi/val", window=base.data.window)
    measured = PairedGap(0.05, 0.01, 0.01, 0.0, 3, 10, known.num_frames)

    def predict(base=base, index=index, row=row, split="noxi/val", measured=measured):
        return ablation.predict(row, split, measured, base, index)

    assert predict() == known.partner
    assert predict(split="noxi/nowhere") is None
    assert predict(row=full) is None and predict(row=transformer) is None
    assert predict(measured=measured._replace(num_frames=1)) is None
    one_group = override(base, {"data.features": base.data.features[:1]})
    assert predict(one_group) is None
    assert predict(override(base, {"model.direction": "forward"})) is None
    assert predict(index=dataclasses.replace(index, simulated=False)) is None
