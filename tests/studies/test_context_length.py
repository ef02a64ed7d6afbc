"""The study of window lengths, on a model of a few hundred parameters."""

import io
import json

import jax
import pytest
import training_child as child
from rich.console import Console

from damamba_jax.config.tree import override
from damamba_jax.data.oracle import score as oracle_score
from damamba_jax.errors import ConfigError
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.studies import context_length, engine, report, runs
from damamba_jax.studies.command import STUDIES, main
from tests.studies.finished import oracle, scores, split, write_results


def tiny(cache_dir):
    steps = {"train.steps": 2, "train.eval_every": 2, "train.batch_size": 8}
    return child.configure(cache_dir, **steps)


def run(base, out, lengths=("32",)):
    console = Console(file=io.StringIO(), width=200)
    study = context_length.describe(base, lengths, split="noxi/val")
    # Optax mixes dtypes.
    with StopRequest() as stop, jax.numpy_dtype_promotion("standard"):
        found = engine.run_study(study, out, stop=stop, console=console)
    report.write_findings(found, out, console=console)
    return found.rows, console.file.getvalue()


@pytest.mark.parametrize("preset", STUDIES["context-length"])
def test_every_length_costs_the_same(preset):
    base = context_length.configure(preset)
    sizes = []
    for frames in context_length.LENGTHS:
        config = context_length.resize(base, str(frames))
        window = config.data.window
        assert window.core_frames * 3 == window.stride_frames * 3 == frames
        assert config.optim == base.optim and config.model == base.model
        assert config.train.steps == base.train.steps
        sizes.append(config.train.batch_size)
        assert sizes[-1] * frames == base.train.batch_size * 96
    assert sizes[-1] >= 2
    past = {"data.window.past_frames": 64, "data.window.future_frames": 0}
    window = context_length.resize(override(base, past), "192").data.window
    assert (window.past_frames, window.core_frames, window.future_frames) == (
        128,
        64,
        0,
    )
    for frames in ("100", str(96 * base.train.batch_size * 2), "0", "long"):
        with pytest.raises(ConfigError, match=f"expected divisors.*got '{frames}'"):
            context_length.resize(base, frames)


@pytest.mark.slow
def test_lengths_are_trained_scored_and_drawn_once(tmp_path, monkeypatch):
    base = tiny(tmp_path / "cache")
    out = tmp_path / "out"
    rows, said = run(base, out)
    assert [row.row.title for row in rows] == ["32", "whole session"]
    assert [row.row.config.train.batch_size for row in rows] == [8, 8]
    (root,) = (tmp_path / "cache").glob("simulated-tiny-*")
    best = [row.oracle["noxi/val"].ccc for row in rows]
    for row, ccc, frames in zip(rows, best, (32, None), strict=True):
        window = base.data.window if frames else None
        seen = oracle_score.oracle_ccc(root, "noxi/val", window=window, causal=True)
        assert ccc == pytest.approx(seen.r)
        (ours,) = row.ccc["noxi/val"]
        # Two sessions have no interval.
        assert -1 < ours < ccc and not row.interval
    assert best[0] < best[1]
    assert "| whole session |" in said and "2 steps of 256 frames" in said
    assert (out / "context_length.png").read_bytes().startswith(b"\x89PNG")
    tree = json.loads((out / "context_length.json").read_text())
    assert [tuple(row["ccc"]["noxi/val"]) for row in tree["rows"]] == [
        row.ccc["noxi/val"] for row in rows
    ]

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(runs, "train", refuse)
    monkeypatch.setattr(engine, "load_checkpoint", refuse)
    assert [row.ccc for row in run(base, out)[0]] == [row.ccc for row in rows]


def test_lengths_share_one_folder_and_whole_sessions_come_last(
    drawn, tmp_path, monkeypatch
):
    base = tiny(tmp_path / "cache")
    trained = []

    def pretend(config, folder, **_):
        trained.append(config.data.window.window_frames)
        (folder / "checkpoints" / "last" / "2").mkdir(parents=True)
        write(folder, ccc=0.5 + trained[-1] / 1000)

    def write(folder, *, ccc):
        write_results(folder, [split("noxi/val", scores(ccc), oracle(0.8))])

    monkeypatch.setattr(runs, "train", pretend)
    folder = tmp_path / "out" / f"{base.name}-context64"
    write(folder / "long", ccc=0.7)
    rows, said = run(base, tmp_path / "out", lengths=("64", "32"))
    assert trained == [32, 64]
    assert [row.row.title for row in rows] == ["32", "64", "whole session"]
    ccc = [row.ccc["noxi/val"][0] for row in rows]
    assert ccc == pytest.approx([0.532, 0.564, 0.7])
    assert "| 64 | 2.56 | 4 | 0.564 | – | 0.800 | 70 % |" in said


def test_a_model_that_must_not_see_the_future_reads_no_whole_session(tmp_path):
    base = override(tiny(tmp_path), {"model.direction": "bidirectional"})
    window = base.data.window
    past = window.past_frames + window.future_frames
    blind = {"data.window.past_frames": past, "data.window.future_frames": 0}
    titles = [
        [row.title for row in context_length.describe(config, ["64"]).rows]
        for config in (base, override(base, blind))
    ]
    assert titles == [["64", "whole session"], ["64"]]


def test_a_signal_ends_it_and_wrong_lengths_are_named(
    quiet, drawn, tmp_path, monkeypatch, capsys
):
    def stopped(*_, stop, **__):
        stop._signal = 15
        raise Stopped("SIGTERM")

    monkeypatch.setattr(runs, "train", stopped)
    options = ["context-length", "--preset=small", f"--out={tmp_path}"]
    with pytest.raises(SystemExit) as end:
        main(options)
    assert end.value.code == 143
    assert "the same command resumes" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="got '97'"):
        main([*options, "--lengths=96,97"])
