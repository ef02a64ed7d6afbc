"""The ablation: its rows, its runs, and its tables."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
import training_child as child
from rich.console import Console

from damamba_jax import ablate, train
from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.open import open_corpus
from damamba_jax.data.oracle import table as oracle_table
from damamba_jax.errors import ConfigError, WorkdirError
from damamba_jax.evaluation.published import ABLATION, PUBLISHED
from damamba_jax.evaluation.results import OracleReference
from damamba_jax.metrics.paired_gap import PairedGap
from damamba_jax.runtime.command import load_config
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies import ablation, ablation_report, ablation_scores
from damamba_jax.studies.ablation_scores import Findings, Gap, RowScores, Share
from damamba_jax.training import loop as training_loop
from tests.example import small_config

FULL, *OTHERS = ablation.ROWS


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
    ("preset", "row"),
    [
        ("paper", OTHERS[2]),
        ("converged", OTHERS[3]),
        *(("small", row) for row in OTHERS),
    ],
    ids=lambda value: getattr(value, "key", value),
)
def test_rows_have_the_full_models_parameters(preset, row, tmp_path):
    base = from_config_dict(load_config(f"{child.ROOT}/configs/ablation.py:{preset}"))
    rows = [FULL, row]
    full, other = ablation.make_cells(base, rows, num_seeds=1, folder=tmp_path)
    assert full.config.model == base.model
    counts = [ablation.count_parameters(cell.config) for cell in (full, other)]
    assert abs(counts[1] / counts[0] - 1) < ablation.PARAMETER_TOLERANCE
    # No other width comes nearer.
    width = other.config.model.dialogue_dim
    for near in (width - 1, width + 1):
        model = dataclasses.replace(other.config.model, dialogue_dim=width)
        try:
            model = dataclasses.replace(model, dialogue_dim=near)
        except ConfigError:
            continue
        found = dataclasses.replace(other.config, model=model)
        off = abs(ablation.count_parameters(found) - counts[0])
        assert near < base.model.dim or off >= abs(counts[1] - counts[0])


def test_rows_are_the_papers():
    switches = {
        row.key: (row.encoder, row.modality_fusion, row.partner_fusion)
        for row in ablation.ROWS
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
    target = ablation.count_parameters(base)
    with pytest.raises(ConfigError, match="within 2%.*Add a block"):
        ablation.match_parameters(base, 10 * target)


def test_unknown_rows_list_the_known_ones():
    with pytest.raises(ConfigError, match="full, no-modality-fusion.*got 'lstm'"):
        ablation.choose_rows(["transformer", "lstm"])
    keys = [row.key for row in ablation.choose_rows(["transformer"])]
    assert keys == ["full", "transformer"]
    assert ablation.choose_rows([]) == ablation.ROWS


def run_ablation(folder):
    """A whole ablation of two rows and two seeds."""
    base = configure(folder / "cache")
    said = console()
    training_loop._compile.cache_clear()
    # Optax mixes dtypes.
    with StopRequest() as stop, jax.numpy_dtype_promotion("standard"):
        ablate.ablate(
            base, folder / "run", rows=["no-partner-fusion"], num_seeds=2, stop=stop,
            console=said,
        )  # fmt: skip
    return (
        base,
        folder / "run",
        said.file.getvalue(),
        training_loop._compile.cache_info(),
    )


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
    for row in (full, other):
        assert row["seeds"] == [0, 1]
        for seed, ccc in zip(row["seeds"], row["ccc"]["noxi/val"], strict=True):
            path = folder / f"{row['row']['key']}-seed{seed}" / "results.json"
            (result,) = json.loads(path.read_text())["results"]
            assert result["splits"][0]["scores"]["ccc"] == ccc
    assert len(set(full["ccc"]["noxi/val"])) == 2
    (gap,) = tree["gaps"]
    means = [np.mean(row["ccc"]["noxi/val"]) for row in (full, other)]
    assert gap["measured"]["mean"] == pytest.approx(means[0] - means[1])
    assert gap["measured"]["standard_error"] > 0
    (root,) = (folder.parent / "cache").glob("simulated-tiny-*")
    predicted = oracle_table.predict_gaps(root, "noxi/val", window=base.data.window)
    assert gap["predicted"] == pytest.approx(predicted.partner)
    assert gap["measured"]["num_frames"] == predicted.num_frames
    (share,) = tree["shares"]
    assert share["oracle"]["ccc"] == pytest.approx(predicted.best)
    assert share["share"] == pytest.approx(means[0] / predicted.best)
    text = (folder / "ablation.md").read_text()
    assert "| Mamba, modality fusion only |" in text and text in said + text
    assert "0.74 / 0.66 / 0.51 / 0.64" in text and "MMEA" in text
    assert (folder / "ablation.png").read_bytes().startswith(b"\x89PNG")


def check_it_is_finished(base, folder, monkeypatch):
    """It trains nothing again, and refuses another configuration."""

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "train", refuse)
    before = (folder / "ablation.json").read_text()
    options = {"rows": ["no-partner-fusion"], "num_seeds": 2, "console": console()}
    with StopRequest() as stop:
        ablate.ablate(base, folder, stop=stop, **options)
        assert (folder / "ablation.json").read_text() == before
        optim = dataclasses.replace(base.optim, lr=0.5)
        with pytest.raises(WorkdirError, match="optim.lr"):
            other = dataclasses.replace(base, optim=optim)
            ablate.ablate(other, folder, stop=stop, **options)


def findings(*, measured=0.05, error=0.01, predicted=0.045, simulated=True):
    paired = PairedGap(measured, error, error, 0.0, 3, 10, 9000)
    rows = [
        RowScores(
            row=row, num_parameters=1000 + i, seeds=(0, 1, 2),
            ccc={"noxi/test-base": (0.80 - i / 10, 0.81 - i / 10, 0.82 - i / 10)},
            interval={"noxi/test-base": (0.7, 0.9)},
        )
        for i, row in enumerate(ablation.ROWS[:3])
    ]  # fmt: skip
    oracle = OracleReference(
        seen="3.84 s window", is_transfer=False, ccc=0.9, bare_ccc=0.88
    )
    gaps = [
        Gap(
            row=row.row, split="noxi/test-base", measured=paired,
            predicted=predicted, published=0.02,
        )
        for row in rows[1:]
    ]  # fmt: skip
    return Findings(
        name="ablation", simulated=simulated, rows=tuple(rows), gaps=tuple(gaps),
        shares=(Share(split="noxi/test-base", oracle=oracle, ccc=0.81),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ("+0.045", "0.5", "yes")),
        ({"measured": 0.08}, ("+0.045", "3.5", "NO")),
        ({"predicted": None}, ("–", "–", "–")),
        ({"error": None}, ("+0.045", "–", "–")),
    ],
)
def test_a_gap_is_judged_by_its_standard_error(changes, cells):
    _, table, _ = ablation_report.tables(findings(**changes))
    found = dict(zip(table.columns, table.rows[0], strict=True))
    assert (found["predicted"], found["errors away"], found["within 3"]) == cells
    assert found["row"] == "Mamba, partner fusion only"
    assert found["published"] == "+0.02"


def test_tables_have_spread_and_published_numbers(tmp_path):
    scores, _, shares = ablation_report.tables(findings())
    row = dict(zip(scores.columns, scores.rows[1], strict=True))
    assert row["NoXi Base"] == "0.710 ± 0.010 [0.70, 0.90]"
    assert row["Global"] == "–"
    assert row["published"] == "0.75 / 0.66 / 0.48 / 0.63"
    assert "(simulated)" in scores.title
    assert shares.rows[0][-1] == "90 %"
    recorded = ablation_report.tables(findings(simulated=False))
    assert "simulated" not in recorded[0].to_markdown()
    ablation_report.publish(findings(error=None), tmp_path, console=console())
    assert {path.name for path in tmp_path.iterdir()} == {
        "ablation.md", "ablation.json", "ablation.png",
    }  # fmt: skip


def test_global_is_the_mean_of_three_tests_per_seed():
    ccc = {
        "noxi/test-base": (0.8, 0.7),
        "noxi/test-additional": (0.6, 0.5),
        "mpiigroupinteraction/test": (0.4, 0.6),
    }
    row = RowScores(row=FULL, num_parameters=1, seeds=(0, 1), ccc=ccc, interval={})
    assert row.overall == pytest.approx((0.6, 0.6))


def test_nothing_is_predicted_for_what_the_oracle_does_not_know(tmp_path):
    base = configure(tmp_path / "cache")
    index = open_corpus(base.data)
    assert ablation_scores._predict("noxi/val", base, index) is not None
    assert ablation_scores._predict("noxi/nowhere", base, index) is None
    alone = dataclasses.replace(base.data, features=base.data.features[:1])
    one_group = dataclasses.replace(base, data=alone)
    assert ablation_scores._predict("noxi/val", one_group, index) is None
    forward = dataclasses.replace(base.model, direction="forward")
    causal = dataclasses.replace(base, model=forward)
    assert ablation_scores._predict("noxi/val", causal, index) is None
    recorded = dataclasses.replace(index, simulated=False)
    assert ablation_scores._predict("noxi/val", base, recorded) is None
