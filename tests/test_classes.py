"""A corpus of classes: trained, evaluated, predicted and cross-validated."""

import csv
import dataclasses
import json

import class_forms
import jax
import numpy as np
import pytest
from class_forms import NAMES, with_classes
from example import TINY
from forms import configure_data, streams
from rich.console import Console

from damamba_jax.data.formats.annotations import read_annotation
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.metrics.intervals import score
from damamba_jax.reporting.predictions import write_session
from damamba_jax.runs.traces import read_traces
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies import crossval_report
from damamba_jax.studies.crossval import FINAL, cross_validate


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Findings of a cross-validation of turns that have a class each."""
    root = tmp_path_factory.mktemp("classes")
    features, places = streams(root)
    places = places | class_forms.turn_csv(root)
    data = configure_data(
        root, features, places, val_split="", label_unit="turn", classes=NAMES,
        classes_ordered=True,
    )  # fmt: skip
    config = dataclasses.replace(
        with_classes(TINY, data),
        train=dataclasses.replace(TINY.train, steps=2, save_every=2),
    )
    out = tmp_path_factory.mktemp("out") / "cv"
    with StopRequest() as stop, jax.numpy_dtype_promotion("standard"):
        return cross_validate(config, out, seeds=(0,), stop=stop,
                              console=Console(quiet=True))  # fmt: skip


def test_every_method_predicts_classes(found):
    titles = [method.title for method in found.methods]
    assert titles[1:] == ["logistic regression", "gradient boosting"]
    for method in found.methods:
        (traces,) = method.seeds
        scores = score(traces)
        rated = [name for t in traces for name in class_forms.steps(t.session, t.role)]
        assert scores.num_frames == sum(map(bool, rated)) and scores.unit == "turn"
        assert np.sum(scores.confusion) == scores.num_frames
        for trace in traces:
            np.testing.assert_allclose(trace.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_tables_show_kappa_and_what_was_taken_for_what(found):
    crossval_report.write_findings(found, console=Console(quiet=True))
    text = (found.plan.out / "crossval.md").read_text()
    for column in ("kappa", "weighted kappa", "accuracy", "macro-F1", "AUC"):
        assert f"| {column} |" in text
    assert "`kappa` is the mean and" in text
    assert "CCC" not in text and (found.plan.out / "crossval.png").is_file()
    page = (found.plan.workdir(0, 0) / "results.md").read_text()
    assert (
        "annotated class (rows) and predicted class" in page and "Pearson" not in page
    )
    tree = json.loads((found.plan.workdir(0, 0) / "results.json").read_text())
    scores = tree["results"][0]["splits"][0]["scores"]
    assert scores["classes"] == list(NAMES) and len(scores["confusion"]) == 3


def test_traces_come_back_whole(found):
    (trace, *_) = read_traces(found.plan.workdir(0, 0), "mine/all held out")
    assert trace.classes == NAMES and trace.classes_ordered
    assert trace.probabilities.shape == (len(trace.label), 3)
    np.testing.assert_array_equal(trace.prediction, trace.probabilities.argmax(axis=1))


def test_predictions_name_the_class_and_its_probability(found, tmp_path):
    estimator = load_checkpoint(found.plan.out / FINAL)
    assert "classes alone, near, together" in repr(estimator)
    rng = np.random.default_rng(0)
    people = {
        who: {"voice": rng.normal(size=(400, 3)), "face": rng.normal(size=(200, 2))}
        for who in ("pupil", "teacher")
    }
    scores = estimator.score(people)
    one = scores["pupil"]
    assert one.probability.shape == (80, 3) and "near " in repr(one)
    write_session(tmp_path / "s", scores, session="s")
    with open(tmp_path / "s/pupil/scores.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["participant", "time", "class", *(f"p_{n}" for n in NAMES)]
    likeliest = [NAMES[i] for i in one.probability.argmax(axis=1)]
    assert [row[2] for row in rows] == likeliest
    np.testing.assert_allclose(
        [[float(x) for x in row[3:]] for row in rows], one.probability, rtol=1e-6
    )
    nova = read_annotation(tmp_path / "s/pupil/scores.annotation")
    assert dict(nova.classes) == dict(enumerate(NAMES))
    spans = zip(nova.start, nova.stop, nova.id, strict=True)
    again = [NAMES[i] for a, b, i in spans for _ in range(round(10 * (b - a)))]
    assert again == likeliest
    assert (tmp_path / "s/timeline.png").stat().st_size > 5_000
