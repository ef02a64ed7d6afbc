"""Cross-validation: nobody tests what trained it, and every fold counts once."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from example import TINY
from forms import LABELS, configure_data, streams
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import ConfigError, CorpusError
from damamba_jax.metrics.intervals import score
from damamba_jax.runs.traces import read_traces
from damamba_jax.runs.workdir import read_config
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies import crossval_report, runs
from damamba_jax.studies.crossval import FINAL, cross_validate
from damamba_jax.studies.folds import describe_folds, make_folds


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    root = tmp_path_factory.mktemp("crossval")
    features, places = streams(root)
    places = places | LABELS["turn_csv"](root)
    data = configure_data(root, features, places, val_split="", label_unit="turn")
    return dataclasses.replace(
        TINY,
        data=data,
        optim=dataclasses.replace(TINY.optim, loss="ccc-mean"),
        train=dataclasses.replace(TINY.train, steps=2, save_every=2),
    )


@pytest.fixture(scope="module")
def found(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "cv"
    with StopRequest() as stop, jax.numpy_dtype_promotion("standard"):
        return cross_validate(
            config, out, seeds=(0, 1), stop=stop, console=Console(quiet=True)
        )


def test_every_session_is_tested_once_by_a_model_that_never_saw_it(found, config):
    tested = []
    for fold, sessions in enumerate(found.plan.folds):
        for seed in found.plan.seeds:
            folder = found.plan.workdir(fold, seed)
            stored = read_config(folder)
            assert stored.data.test_sessions == sessions and stored.seed == seed
            traces = read_traces(folder, "mine/all held out")
            assert {f"mine/all/{t.session}" for t in traces} == set(sessions)
        tested += sessions
    assert sorted(tested) == ["mine/all/monday", "mine/all/tuesday"]
    for method in found.methods:
        for traces in method.seeds:
            assert sorted((t.session, t.role) for t in traces) == [
                (s, r) for s in ("monday", "tuesday") for r in ("pupil", "teacher")
            ]
            assert score(traces).unit == "turn" and score(traces).num_frames == 64


def test_seeds_are_averaged_and_classical_methods_stand_beside(found):
    titles = [m.title for m in found.methods]
    assert titles[1:] == ["mean of 2 seeds", "ridge regression", "gradient boosting"]
    one, two = ({(t.session, t.role): t for t in s} for s in found.methods[0].seeds)
    for trace in found.methods[1].seeds[0]:
        key = trace.session, trace.role
        mean = (one[key].prediction + two[key].prediction) / 2
        np.testing.assert_allclose(trace.prediction, mean, rtol=1e-6)


def test_the_last_run_learns_from_everybody(found):
    final = read_config(found.plan.out / FINAL)
    assert final.data.test_sessions == ()
    page = (found.plan.out / FINAL / "results.md").read_text()
    assert "held out" not in page


def test_a_second_time_trains_nothing(found, config, monkeypatch):
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained"))
    with StopRequest() as stop:
        again = cross_validate(
            config,
            found.plan.out,
            seeds=(0, 1),
            stop=stop,
            console=Console(quiet=True),
        )
    for one, other in zip(again.methods, found.methods, strict=True):
        for mine, theirs in zip(one.seeds, other.seeds, strict=True):
            assert score(mine) == score(theirs)


def test_tables_say_whether_the_network_pays(found):
    console = Console(record=True, width=200)
    crossval_report.write_findings(found, console=console)
    text = (found.plan.out / "crossval.md").read_text()
    assert "| ridge regression |" in text and "one left out at a time" in text
    assert "64 turns" in text and "mine/all/monday" in text
    numbers = json.loads((found.plan.out / "crossval.json").read_text())
    pooled = {m["title"]: m["scores"] for m in numbers["methods"]}
    assert len(pooled[found.methods[0].title]) == 2
    assert pooled["ridge regression"][0]["ccc"] == score(found.methods[2].seeds[0]).ccc
    assert (found.plan.out / "crossval.png").stat().st_size > 5_000
    assert str(found.plan.out / FINAL) in console.export_text().replace("\n", "")


def test_folds_leave_each_session_out_once(config):
    index = open_corpus(config.data)
    folds = make_folds(index, config.data)
    assert folds == (("mine/all/monday",), ("mine/all/tuesday",))
    assert describe_folds(folds) == "2 sessions, one left out at a time"
    many = dataclasses.replace(
        index,
        sessions=tuple(
            dataclasses.replace(index.sessions[0], id=f"{i:03d}") for i in range(31)
        ),
    )
    folds = make_folds(many, config.data)
    assert len(folds) == 10 and {len(f) for f in folds} == {3, 4}
    assert len({name for fold in folds for name in fold}) == 31
    assert describe_folds(folds) == "31 sessions in 10 folds"
    for number in (1, 32):
        with pytest.raises(ConfigError, match="`--folds`: expected 2 to 31"):
            make_folds(many, config.data, number)
    alone = dataclasses.replace(index, sessions=index.sessions[:1])
    with pytest.raises(CorpusError, match="two sessions with annotations or more"):
        make_folds(alone, config.data)
