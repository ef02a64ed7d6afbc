"""New recordings, from disk or from memory, without labels or splits."""

import csv
import dataclasses
import shutil

import jax
import numpy as np
import pytest
from example import TINY
from forms import FEATURES, LABELS, configure_data, streams, values

from damamba_jax.config.tree import override
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.formats.annotations import read_annotation
from damamba_jax.data.recordings import open_recordings
from damamba_jax.errors import ConfigError, CorpusError
from damamba_jax.inference.estimator import Estimator
from damamba_jax.inference.likeness import describe_unlike
from damamba_jax.inference.recordings import Member, score_sessions
from damamba_jax.inference.sessions import predict_sessions
from damamba_jax.metrics.coverage import Band
from damamba_jax.models.functional import draw_parameters
from damamba_jax.reporting.predictions import is_written, write_session
from damamba_jax.runs.bands import Bands
from damamba_jax.schema.statistics import FeatureStatistics

RATES = {"voice": 50.0, "face": 25.0}
BAND = Band(half_width=0.5, coverage=0.9, measured=0.88, num_sessions=4)


def statistics_of(features):
    return {
        f.name: FeatureStatistics(
            np.zeros(f.dim, np.float32), np.full(f.dim, 1 / 40, np.float32)
        )
        for f in features
    }


def make_estimator(root, features, places, **data) -> Estimator:
    section = configure_data(root, features, places, label_range=(1.0, 5.0), **data)
    loss = "ccc-mean" if section.label_unit == "turn" else "ccc"
    optim = dataclasses.replace(TINY.optim, loss=loss)
    config = dataclasses.replace(TINY, data=section, optim=optim)
    with jax.numpy_dtype_promotion("standard"):
        params = draw_parameters(config.model, section, seed=3)
    return Estimator(
        config=config, params=params, statistics=statistics_of(features),
        simulated=False, step=1, bands=Bands(BAND, BAND),
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def estimator(root):
    features, places = streams(root)
    return make_estimator(root, features, places | LABELS["lines"](root))


def arrays(session="monday"):
    return {
        role: {name: values(session, role, name) for name in RATES}
        for role in ("teacher", "pupil")
    }


def test_scores_from_memory_from_disk_and_of_evaluations_are_the_same(estimator, root):
    found = estimator.score(arrays(), rates=RATES)
    data = estimator.config.data
    (disk,) = score_sessions(
        [estimator.member()], open_recordings(root / "monday", data).sessions
    )
    rated = corpus_index.index(
        root,
        features=data.features,
        layout=data.layout,
        scale=Scale(low=1.0, high=5.0),
    )
    traces = predict_sessions(
        estimator.predict, rated.sessions[:1], data, batch_size=4, frame_multiple=1
    )
    assert np.ptp(traces[0].prediction) > 1e-3
    for trace in traces:
        one, other = found[trace.role], disk[trace.role]
        np.testing.assert_allclose(one.score, other.score, atol=1e-6)
        np.testing.assert_allclose(one.score, trace.prediction, atol=1e-6)
        np.testing.assert_allclose(one.time, np.arange(80) / 10.0)
        np.testing.assert_allclose(one.high, np.minimum(one.score + 0.5, 5.0))
        np.testing.assert_allclose(one.low, np.maximum(one.score - 0.5, 1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda people: people.clear(), "expected one person or more"),
        (lambda people: people["pupil"].clear(), "expected some of the features"),
        (lambda people: people["pupil"].update(fase=0), "did you mean 'face'"),
        (
            lambda people: people["pupil"].update(face=np.zeros((9, 5))),
            r"`people\['pupil'\]\['face'\]`: expected \[frames, 2\]",
        ),
        (lambda people: people["pupil"].update(face="x"), "expected an array"),
    ],
)
def test_wrong_arrays_are_answered_with_what_was_expected(estimator, change, message):
    people = arrays()
    change(people)
    with pytest.raises(ConfigError, match=message):
        estimator.score(people, rates=RATES)


def test_wrong_rates(estimator):
    with pytest.raises(ConfigError, match="unknown feature 'fade'"):
        estimator.score(arrays(), rates={"fade": 25.0})
    with pytest.raises(ConfigError, match="expected > 0 Hz"):
        estimator.score(arrays(), rates={"face": 0.0})


def test_what_somebody_lacks_is_missing(estimator):
    people = arrays()
    del people["pupil"]["face"]
    people["teacher"]["voice"][:100] = np.nan
    found = estimator.score(people, rates=RATES)
    assert np.isfinite(found["pupil"].score).all()
    whole = estimator.score(arrays(), rates=RATES)
    assert np.abs(found["pupil"].score - whole["pupil"].score).max() > 1e-4


def test_everything_fits_a_screen(estimator):
    found = estimator.score(arrays(), rates=RATES)
    for text in (repr(estimator), repr(found)):
        assert len(text) < 600 and max(map(len, text.split("\n"))) < 400
    assert "voice: 3 columns at 50 Hz" in repr(estimator)
    assert "80 frames, 7.9 s" in repr(found["pupil"])


@pytest.mark.parametrize("form", FEATURES)
def test_a_corpus_sessions_and_one_session_are_read_alike(form, tmp_path):
    root = tmp_path / "corpus"
    features, places = FEATURES[form](root)
    places |= {"label_path": "{session}/{role}.none"}
    data = make_estimator(root, features, places).config.data
    whole = open_recordings(root, data)
    assert whole.problems == ()
    assert [s.id for s in whole.sessions] == ["monday", "tuesday"]
    if not (root / "monday").is_dir():
        return  # all sessions lie in one folder, or in one file
    one = open_recordings(root / "monday", data)
    (session,) = one.sessions
    assert one.problems == () and session.id == "monday"
    for mine, theirs in zip(
        session.participants, whole.sessions[0].participants, strict=True
    ):
        assert mine.labels_path is None
        for name, track in mine.tracks.items():
            other = theirs.tracks[name].open("").data
            np.testing.assert_array_equal(track.open("").data, other)


def test_splits_and_corpora_around_a_session_are_not_needed(root, tmp_path):
    features, _ = streams(root)
    places = {
        "feature_path": "{split}/{session}/{role}.{stem}.stream",
        "label_path": "{split}/labels-{split}/{session}/{role}.txt",
    }
    data = make_estimator(root, features, places).config.data
    split = dataclasses.replace(data.layout, splits=("train", "val"))
    data = dataclasses.replace(data, layout=split)
    shutil.copytree(root / "monday", tmp_path / "val" / "new day")
    for folder in (tmp_path, tmp_path / "val", tmp_path / "val" / "new day"):
        found = open_recordings(folder, data)
        assert [s.id for s in found.sessions] == ["new day"]
        assert len(found.sessions[0].participants) == 2
    with pytest.raises(CorpusError, match="expected recordings as the model was"):
        open_recordings(tmp_path / "val" / "new day" / "..", split_of(data, "other"))
    with pytest.raises(CorpusError, match="nothing there"):
        open_recordings(tmp_path / "no", data)


def split_of(data, stem):
    pattern = "{split}/{session}/{role}." + stem + ".{stem}.stream"
    changed = dataclasses.replace(data.layout, feature_path=pattern)
    return dataclasses.replace(data, layout=changed)


def test_files_hold_the_scores(estimator, root, tmp_path):
    features, places = streams(root)
    places |= LABELS["turn_csv"](root)
    by_turn = make_estimator(root, features, places, label_unit="turn")
    index = open_recordings(root, by_turn.config.data)
    (scores,) = score_sessions([by_turn.member()], index.sessions[:1])
    assert not is_written(tmp_path / "s", scores)
    write_session(tmp_path / "s", scores, session="monday $x$")
    assert is_written(tmp_path / "s", scores)
    assert (tmp_path / "s" / "timeline.png").stat().st_size > 5_000
    for name, one in scores.items():
        folder = tmp_path / "s" / name
        with open(folder / "scores.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [*rows[0]] == ["participant", "time", "score", "low", "high"]
        table = np.array([[*map(float, [*row.values()][1:])] for row in rows])
        expected = [one.time, one.score, one.low, one.high]
        np.testing.assert_allclose(table.T, expected, atol=1e-6)
        again = read_annotation(folder / "scores.annotation")
        np.testing.assert_allclose(again.score, one.score, atol=1e-5)
        assert (again.minimum, again.maximum, again.sample_rate) == (1.0, 5.0, 10.0)
        with open(folder / "turns.csv", newline="") as file:
            turns = list(csv.DictReader(file))
        assert [t["turn"] for t in turns] == [str(i + 1) for i in range(16)]
        assert float(turns[3]["start"]) == 1.5 and float(turns[3]["end"]) == 2.0
        mean = one.score[15:20].mean()
        assert float(turns[3]["score"]) == pytest.approx(mean, abs=1e-6)


def test_several_models_are_averaged(estimator, root):
    with jax.numpy_dtype_promotion("standard"):
        other = draw_parameters(estimator.config.model, estimator.config.data, seed=4)
    second = dataclasses.replace(estimator, params=other, bands=Bands())
    sessions = open_recordings(root / "monday", estimator.config.data).sessions
    one, two, both = (
        score_sessions([e.member() for e in m], sessions)[0]["pupil"]
        for m in ([estimator], [second], [estimator, second])
    )
    np.testing.assert_allclose(both.score, (one.score + two.score) / 2, atol=1e-6)
    assert both.low is None  # nothing is known of the second model's errors


def score_with_changed(estimator, root, **data):
    """Scores by the model, and by the same one with other fields of `data`."""
    sessions = open_recordings(root / "monday", estimator.config.data).sessions
    changed = dataclasses.replace(
        estimator.config, data=dataclasses.replace(estimator.config.data, **data)
    )
    other = dataclasses.replace(estimator, config=changed)
    score_sessions([e.member() for e in (estimator, estimator, other)], sessions)


def test_models_that_read_other_things_are_not_averaged(estimator, root):
    data = estimator.config.data
    with pytest.raises(ConfigError) as caught:
        score_with_changed(estimator, root, label_range=(0.0, 1.0), layout=None)
    assert str(caught.value) == (
        "`--workdir`: expected models with the same features and annotations, got "
        "other values in model 3 than in model 1:\n"
        "  data.label_range: (1.0, 5.0) -> (0.0, 1.0)\n"
        "  data.layout: 'its own' -> None\n"
        "Leave out one of these two models, or train it again with the values of the "
        "other."
    )
    first, *others = data.features
    assert others
    changed = dataclasses.replace(first, missing_value=-9.0)
    named = f"data.features: '{', '.join(f.name for f in data.features)}' -> "
    for features, lines in (
        ((changed, *others), [f"data.features.{first.name}.missing_value: "]),
        # All fields of a feature that is not there are one line.
        (data.features[:1], [f"{named}'{first.name}'"]),
        (data.features[::-1], [named]),
    ):
        with pytest.raises(ConfigError) as caught:
            score_with_changed(estimator, root, features=features)
        found = str(caught.value).splitlines()[1:-1]
        for line, start in zip(found, lines, strict=True):
            assert line.strip().startswith(start)
    layout = dataclasses.replace(data.layout, roles=tuple("abcdefghijklmnop"))
    with pytest.raises(ConfigError, match="\n  ... and [0-9]+ more fields\n"):
        score_with_changed(estimator, root, layout=layout)


def test_no_model_scores_if_one_of_them_must_not_see_the_future(estimator, root):
    sessions = open_recordings(root / "monday", estimator.config.data).sessions
    window = estimator.config.data.window
    past = window.past_frames + window.future_frames
    blind = override(
        estimator.config,
        {
            "model.direction": "bidirectional",
            "data.window.past_frames": past,
            "data.window.future_frames": 0,
        },
    )
    asked = []
    members = [
        Member(config=config, bands=Bands(), predict=lambda *a, **_: asked.append(a))
        for config in (estimator.config, blind)
    ]
    with pytest.raises(ConfigError, match="'long' shows the whole session"):
        score_sessions(members, sessions, protocol="long")
    assert not asked


def test_what_is_unlike_the_training_data_is_said(estimator, root):
    data = estimator.config.data
    (session,) = open_recordings(root / "monday", data).sessions
    cache = data.cache_dir
    assert not [*describe_unlike(session, data.features, estimator.statistics, cache)]
    far = dict(estimator.statistics)
    far["face"] = FeatureStatistics(
        np.array([5e4, 0], np.float32), np.full(2, 1 / 40, np.float32)
    )
    dropped = [
        dataclasses.replace(f, drop_columns=(0,)) if f.name == "face" else f
        for f in data.features
    ]
    assert not [*describe_unlike(session, dropped, far, cache)]
    without = dataclasses.replace(
        session.participants[1], tracks={"face": session.participants[1].tracks["face"]}
    )
    session = dataclasses.replace(
        session, participants=(session.participants[0], without)
    )
    lines = [*describe_unlike(session, data.features, far, cache)]
    assert len(lines) == 3
    assert "monday teacher: face is unlike the training data in 1 of 2" in lines[0]
    assert lines[1] == "monday pupil: voice is missing"
