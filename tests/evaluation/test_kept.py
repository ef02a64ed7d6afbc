"""Predictions that would come out the same are not computed again."""

import dataclasses
import os

import jax
import numpy as np
import pytest
from example import TINY

from damamba_jax.data.corpus import splits
from damamba_jax.data.corpus.splits import evaluation_splits
from damamba_jax.data.open import open_corpus
from damamba_jax.evaluation import evaluation, kept
from damamba_jax.inference.estimator import Estimator
from damamba_jax.inference.sessions import predict_sessions
from damamba_jax.models.functional import abstract_model
from damamba_jax.reporting.results import draw_results, write_results
from damamba_jax.runs import traces as trace_files
from damamba_jax.schema.statistics import FeatureStatistics


@pytest.fixture
def estimator(tmp_path):
    data = dataclasses.replace(TINY.data, cache_dir=str(tmp_path / "cache"))
    config = dataclasses.replace(TINY, data=data)
    _, params = abstract_model(config.model, config.data)
    statistics = {
        f.name: FeatureStatistics(
            np.zeros(f.dim, np.float32), np.ones(f.dim, np.float32)
        )
        for f in data.features
    }
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), params)
    return Estimator(config, zeros, statistics, simulated=True, step=1)


@pytest.fixture
def index(estimator):
    return open_corpus(estimator.config.data)


@pytest.fixture
def counted(monkeypatch):
    """Counts predictions, which are all one half."""
    calls = []

    def predict(given, sessions, data, **options):
        calls.append(options["split"])

        def half(batch, *, num_frames=None):
            return np.full(batch["label"].shape, 0.5, np.float32)

        return predict_sessions(half, sessions, data, **options)

    monkeypatch.setattr(evaluation, "predict_sessions", predict)
    return calls


def test_an_evaluation_predicts_once(estimator, index, counted, tmp_path, capsys):
    first = evaluation.evaluate(estimator, index, out=tmp_path, ridge=False)
    assert counted == ["noxi/val"]
    again = evaluation.evaluate(estimator, index, out=tmp_path, ridge=False)
    assert counted == ["noxi/val"] and again == first
    assert "noxi/val (simulated): predictions are taken from" in capsys.readouterr().out
    evaluation.evaluate(estimator, index, out=tmp_path / "other", ridge=False)
    assert len(counted) == 2


def test_what_is_damaged_is_predicted_again(estimator, index, counted, tmp_path):
    first = evaluation.evaluate(estimator, index, out=tmp_path, ridge=False)
    (path,) = (tmp_path / "traces").glob("*.npz")
    whole = path.read_bytes()
    for damaged in (b"", b"PK garbage", whole[: len(whole) // 2], whole[:-20]):
        path.write_bytes(damaged)
        again = evaluation.evaluate(estimator, index, out=tmp_path, ridge=False)
        assert again == first and path.read_bytes() == whole
    assert len(counted) == 5


def test_whatever_predictions_depend_on_is_in_the_key(estimator, index, monkeypatch):
    (split,) = evaluation_splits(index, estimator.config.data)
    config = estimator.config

    def key(given=estimator, config=config, **options):
        options = {"protocol": "stitched", "batch_size": 4, **options}
        model = kept.model_digest(given)
        return kept.prediction_key(model, config, split, **options)

    params = jax.tree.map(lambda x: x + x.dtype.type(1e-3), estimator.params)
    smoothing = dataclasses.replace(config.smoothing, kind="exponential", seconds=1.0)
    data = dataclasses.replace(config.data, label_delay_seconds=1.0)
    moved = dataclasses.replace(config.data, cache_dir="elsewhere")
    assert key() == key() != ""
    assert key(config=dataclasses.replace(config, data=moved)) == key()
    keys = [
        key(),
        key(batch_size=8),
        key(protocol="long"),
        key(given=dataclasses.replace(estimator, params=params)),
        key(config=dataclasses.replace(config, smoothing=smoothing)),
        key(config=dataclasses.replace(config, data=data)),
    ]
    person = split.sessions[0].participants[0]
    for path in (person.labels_path, next(iter(person.tracks.values())).files[-1]):
        os.utime(path, ns=(1, 1))
        keys.append(key())
    monkeypatch.setattr(kept, "package_sources", lambda: "other code")
    keys.append(key())
    with jax.default_matmul_precision("float32"):
        keys.append(key())
    assert len(set(keys)) == len(keys)


def test_a_model_of_another_class_has_no_key(estimator, index, tmp_path):
    class Other(Estimator):
        pass

    fields = {f.name: getattr(estimator, f.name) for f in dataclasses.fields(estimator)}
    (split,) = evaluation_splits(index, estimator.config.data)
    options = {"protocol": "stitched", "batch_size": 4}
    model = kept.model_digest(Other(**fields))
    key = kept.prediction_key(model, estimator.config, split, **options)
    assert key == "" and trace_files.read_kept(tmp_path, "noxi/val", "") is None


def test_scores_that_would_be_the_same_are_not_computed_again(
    estimator, index, counted, tmp_path, monkeypatch
):
    first = evaluation.evaluate(estimator, index, out=tmp_path, ridge=True)
    draw_results(first, tmp_path)
    write_results([first], tmp_path)
    pictures = {p: p.stat().st_mtime_ns for p in (tmp_path / "pictures").iterdir()}
    assert len(pictures) > 1 and first.splits[0].ridge is not None
    with monkeypatch.context() as patched:
        for name in ("fit_baseline", "find_oracle", "score_split"):
            patched.setattr(
                evaluation.scoring, name, lambda *_, **__: pytest.fail("again")
            )
        again = evaluation.evaluate(estimator, index, out=tmp_path, ridge=True)
    assert again == first and again.splits[0].is_kept
    gone = next(iter(pictures))
    gone.unlink()
    draw_results(again, tmp_path)
    for path, drawn in pictures.items():
        assert (path.stat().st_mtime_ns == drawn) == (path != gone)
    # Without the regression, and with other annotations to learn from, all is new.
    without = evaluation.evaluate(estimator, index, out=tmp_path, ridge=False)
    assert without.splits[0].ridge is None and not without.splits[0].is_kept
    path = splits.training_sessions(index, estimator.config.data)[0]
    os.utime(path.participants[0].labels_path)
    changed = evaluation.evaluate(estimator, index, out=tmp_path, ridge=True)
    assert not changed.splits[0].is_kept and counted == ["noxi/val"]
