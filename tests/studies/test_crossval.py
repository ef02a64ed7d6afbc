"""Cross-validation: nobody tests what trained it, and every fold counts once."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from example import TINY
from forms import FACE, LABELS, configure_data, streams
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.data.corpus.splits import session_name
from damamba_jax.data.formats import ssi
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import CheckpointError, ConfigError, CorpusError
from damamba_jax.inference.estimator import load_members
from damamba_jax.inference.recordings import score_sessions
from damamba_jax.metrics.intervals import score
from damamba_jax.runs.members import find_members
from damamba_jax.runs.traces import read_traces
from damamba_jax.runs.workdir import MEMBERS, read_config
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies import crossval_report, runs
from damamba_jax.studies.crossval import FINAL, Plan, cross_validate
from damamba_jax.studies.fold_rows import FoldRows
from damamba_jax.studies.folds import choose_by, describe_folds, make_folds


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


@pytest.mark.parametrize(
    ("final", "folders"),
    [
        ("ensemble", ["00-seed0", "01-seed0", "00-seed1", "01-seed1"]),
        ("none", []),
        ("refit", [FINAL]),
    ],
)
def test_the_folder_stands_for_its_model(found, config, monkeypatch, final, folders):
    """None of the choices trains anything more."""
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained"))
    out = found.plan.out
    with StopRequest() as stop:
        again = cross_validate(
            config, out, seeds=(0, 1), final=final, stop=stop,
            console=Console(quiet=True),
        )  # fmt: skip
    console = Console(record=True, width=200)
    crossval_report.write_findings(again, console=console)
    told = console.export_text().replace("\n", "")
    if not folders:
        assert find_members(out) == (out,) and "damamba predict" not in told
        with pytest.raises(CheckpointError, match="got a folder without config.json"):
            load_members(out)
        return
    assert [path.name for path in find_members(out)] == folders
    assert f"damamba predict --workdir={out}" in told
    assert ("mean of the 4 models" in told) == (final == "ensemble")
    estimators = load_members(out)
    for path, estimator in zip(find_members(out), estimators, strict=True):
        assert estimator.config == read_config(path)
    session = open_corpus(config.data).sessions[0]
    (mean,) = score_sessions([e.member() for e in estimators], [session])
    each = [score_sessions([e.member()], [session])[0] for e in estimators]
    for role, scores in mean.items():
        expected = np.mean([one[role].score for one in each], axis=0)
        np.testing.assert_allclose(scores.score, expected, atol=1e-6)


@pytest.mark.parametrize(
    "text", ['["../elsewhere"]', '["/etc"]', "[]", "[3]", "{}", "[", '["a\\u0000b"]']
)
def test_a_list_of_models_that_leads_elsewhere_is_refused(tmp_path, text):
    (tmp_path / MEMBERS).write_text(text)
    with pytest.raises(CheckpointError, match="expected a list of folders"):
        find_members(tmp_path)


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


def named(index, *sessions):
    """An index of sessions of these people; `-` is somebody who is not known."""
    first = index.sessions[0]
    found = []
    for number, names in enumerate(sessions):
        people = zip(first.participants, names.split(), strict=True)
        seats = [dataclasses.replace(p, person=n.strip("-")) for p, n in people]
        found.append(
            dataclasses.replace(first, id=f"{number}", participants=tuple(seats))
        )
    return dataclasses.replace(index, sessions=tuple(found))


def numbers(folds):
    return [[int(name.rpartition("/")[2]) for name in fold] for fold in folds]


def test_nobody_is_in_two_folds(config):
    index = named(
        open_corpus(config.data), "a b", "c d", "e f", "b g", "h i", "g d", "j k"
    )
    assert choose_by(index, config.data) == "person"
    folds = make_folds(index, config.data, by="person")
    # b links 0 with 3, g links 3 with 5, d links 5 with 1.
    assert numbers(folds) == [[0, 1, 3, 5], [2], [4], [6]]
    text = "7 sessions in 4 folds, nobody in two folds"
    assert describe_folds(folds, by="person") == text
    assert numbers(make_folds(index, config.data, 2, by="person")) == [
        [0, 1, 3, 5], [2, 4, 6]
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="2 to 4, the number of groups of sessions"):
        make_folds(index, config.data, 5, by="person")
    assert numbers(make_folds(index, config.data, by="session")) == [
        [i] for i in range(7)
    ]


def test_one_person_is_left_out_where_each_session_has_one(config):
    index = named(open_corpus(config.data), "a -", "b -", "a -", "c -", "b -")
    alone = dataclasses.replace(
        index,
        sessions=tuple(
            dataclasses.replace(s, participants=s.participants[:1])
            for s in index.sessions
        ),
    )
    folds = make_folds(alone, config.data, by=choose_by(alone, config.data))
    assert numbers(folds) == [[0, 2], [1, 4], [3]]


def test_a_session_without_annotations_is_tested_with_its_people_alone(config):
    index = named(open_corpus(config.data), "a b", "c d", "a e", "f g")
    sessions = [
        dataclasses.replace(
            session,
            participants=tuple(
                dataclasses.replace(p, label_source=None) for p in session.participants
            ),
        )
        if number > 1
        else session
        for number, session in enumerate(index.sessions)
    ]
    index = dataclasses.replace(index, sessions=tuple(sessions))
    assert numbers(make_folds(index, config.data, by="person")) == [[0, 2], [1]]
    assert numbers(make_folds(index, config.data)) == [[0], [1]]


def test_people_who_are_not_known_cannot_be_left_out(config):
    index = named(open_corpus(config.data), "a b", "c -", "- e")
    assert choose_by(index, config.data) == "session"
    with pytest.raises(ConfigError, match=r"sat in mine/all/1 \w+ and 1 other.*people"):
        choose_by(index, config.data, "person")
    layout = dataclasses.replace(config.data.layout, people="people.csv")
    given = dataclasses.replace(config.data, layout=layout)
    with pytest.raises(ConfigError, match="--by=session"):
        choose_by(index, given)
    assert choose_by(index, given, "session") == "session"
    linked = named(open_corpus(config.data), "a b", "b c", "c a")
    with pytest.raises(CorpusError, match="people link all 3 sessions"):
        make_folds(linked, config.data, by="person")


def test_people_of_a_table_are_left_out_with_all_their_sessions(tmp_path):
    """The whole way, with a session that nobody rated."""
    features, places = streams(tmp_path)
    for session, copy in (("monday", "friday"), ("tuesday", "sunday")):
        shutil.copytree(tmp_path / session, tmp_path / copy)
    places |= LABELS["lines"](tmp_path)
    who = {"monday": "ann bob", "friday": "bob cem", "tuesday": "eve dan",
           "sunday": "fay gus"}  # fmt: skip
    ssi.write_labels(tmp_path / "sunday" / "pupil.engagement.csv", np.arange(80) / 80)
    rows = [
        f"{session},{role},{name}"
        for session, names in who.items()
        for role, name in zip(("teacher", "pupil"), names.split(), strict=True)
    ]
    (tmp_path / "people.csv").write_text("\n".join(["session,role,person", *rows]))
    data = configure_data(tmp_path, features, places, val_split="")
    layout = dataclasses.replace(data.layout, people="people.csv")
    config = dataclasses.replace(
        TINY,
        data=dataclasses.replace(data, layout=layout),
        train=dataclasses.replace(TINY.train, steps=1, save_every=1),
    )
    with StopRequest() as stop, jax.numpy_dtype_promotion("standard"):
        found = cross_validate(
            config, tmp_path / "cv", final="none", stop=stop,
            console=Console(quiet=True),
        )  # fmt: skip
    assert found.plan.by == "person"
    assert found.plan.folds[0] == ("mine/all/friday", "mine/all/monday")
    assert len(found.plan.folds) == 3
    for method in found.methods:
        assert {t.session for t in method.seeds[0]} == {"monday", "tuesday", "sunday"}
    crossval_report.write_findings(found, console=Console(quiet=True))
    text = (tmp_path / "cv" / "crossval.md").read_text()
    assert "4 sessions in 3 folds, nobody in two folds" in text


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """A corpus whose annotations follow a feature by 1.2 s; what to read of it."""
    root = tmp_path_factory.mktemp("late")
    features = (FACE,)
    rng = np.random.default_rng(0)
    names = [f"s{i}" for i in range(4)]
    for session in names:
        for role in ("teacher", "pupil"):
            # 40 s at 10 Hz, slow enough for rows of half a second.
            wave = np.repeat(rng.normal(size=20), 20)
            face = np.repeat(wave[:, None], 2, axis=1) + 0.1 * rng.normal(size=(400, 2))
            path = root / session / f"{role}.face.stream"
            ssi.write_stream(path, face.astype(np.float32), 10.0)
            label = 1 / (1 + np.exp(-np.concatenate([np.zeros(12), wave[:-12]])))
            ssi.write_labels(root / session / f"{role}.engagement.csv", label)
    places = {
        "feature_path": "{session}/{role}.{stem}.stream",
        "label_path": "{session}/{role}.engagement.csv",
    }
    return configure_data(root, features, places, val_split="")


def test_each_fold_chooses_the_delay_by_its_training_sessions(late):
    corpora = {}
    for delay in (0.0, 0.6, 1.2, 1.8):
        index = open_corpus(dataclasses.replace(late, label_delay_seconds=delay))
        corpora[delay] = {session_name(s): s for s in index.sessions}
    folds = [(name,) for name in corpora[0.0]]
    told = []
    rows = FoldRows(
        data=late, corpora=corpora, folds=folds, seed=0, tell=lambda: told.append(1)
    )
    assert [rows.choose_delay(fold) for fold in (0, 3, None)] == [1.2] * 3
    # Everybody is read once for each delay, and fitted once for each choice.
    assert len(told) == 4 * 4 + 3 * 4


def test_runs_have_the_delay_of_their_fold(late, tmp_path):
    plan = Plan(
        config=dataclasses.replace(TINY, data=late),
        folds=(("mine/all/s0",), ("mine/all/s1",)),
        delays=(0.5, 1.0, 0.5),
        by="session",
        seeds=(0,),
        out=tmp_path,
    )
    delays = [run.config.data.label_delay_seconds for run in plan.runs()]
    assert delays == [0.5, 1.0, 0.5]
