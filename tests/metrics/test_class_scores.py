"""Scores of classes, against scikit-learn and by simulation."""

import dataclasses

import numpy as np
import pytest
from sklearn import metrics as library

from damamba_jax.metrics.agreement import MIN_SESSIONS, jackknife_interval
from damamba_jax.metrics.classes import (
    agree_on_class,
    kappa_of,
    score_classes,
)
from damamba_jax.metrics.intervals import leave_one_out, score, score_by
from damamba_jax.metrics.raters import rater_agreement
from damamba_jax.metrics.trace import Trace
from damamba_jax.metrics.turns import Turns, turn_classes

NAMES = ("alone", "near", "together")


def make_trace(session="1", frames=120, seed=0, **changes):
    rng = np.random.default_rng((seed, int(session)))
    label = rng.integers(0, 3, frames).astype(float)
    label[::7] = np.nan
    probability = rng.dirichlet([1.0, 1.0, 1.0], frames)
    # Right more often than not.
    there = np.isfinite(label)
    probability[there, label[there].astype(int)] += 0.5
    probability /= probability.sum(axis=1, keepdims=True)
    trace = Trace(
        split="s", session=session, role="a", label=label,
        prediction=np.full(frames, np.nan), classes=NAMES, **changes,
    )  # fmt: skip
    return trace.with_probabilities(probability)


def test_scores_are_those_of_the_library():
    traces = [make_trace(str(i), classes_ordered=True) for i in range(4)]
    scores = score_classes(traces)
    label = np.concatenate([t.label for t in traces])
    valid = np.isfinite(label)
    label = label[valid].astype(int)
    probability = np.concatenate([t.probabilities for t in traces])[valid]
    found = probability.argmax(axis=1)
    assert scores.num_frames == len(label) and scores.num_sessions == 4
    assert scores.kappa == pytest.approx(library.cohen_kappa_score(label, found))
    weighted = library.cohen_kappa_score(label, found, weights="quadratic")
    assert scores.weighted_kappa == pytest.approx(weighted)
    assert scores.accuracy == pytest.approx(library.accuracy_score(label, found))
    f1 = library.f1_score(label, found, average="macro")
    assert scores.macro_f1 == pytest.approx(f1)
    auc = library.roc_auc_score(label, probability, multi_class="ovr")
    assert scores.auc == pytest.approx(auc)
    expected = library.confusion_matrix(label, found)
    np.testing.assert_array_equal(scores.confusion, expected)
    assert scores.kappa_low is None  # four sessions


def test_binary_auc_counts_ties_half():
    label = np.array([0.0, 0.0, 1.0, 1.0])
    likely = np.array([0.2, 0.6, 0.6, 0.9])
    trace = Trace(
        split="s", session="1", role="a", label=label, prediction=label,
        classes=("no", "yes"), probabilities=np.stack([1 - likely, likely], axis=1),
    )  # fmt: skip
    expected = library.roc_auc_score(label, likely)
    assert score_classes([trace]).auc == pytest.approx(expected) == 0.875


def test_one_class_on_both_sides_has_no_kappa_and_no_auc():
    same = dataclasses.replace(
        make_trace(), label=np.ones(120), prediction=np.ones(120), probabilities=None
    )
    scores = score_classes([same])
    assert (scores.kappa, scores.auc, scores.accuracy) == (0.0, None, 1.0)
    assert scores.macro_f1 == 1.0


def test_a_frame_without_prediction_is_an_error():
    trace = make_trace()
    trace.probabilities[1] = np.nan
    with pytest.raises(ValueError, match="the first at frame 1"):
        score_classes([trace])
    with pytest.raises(ValueError, match="at least one labelled frame"):
        score_classes([dataclasses.replace(trace, label=np.full(120, np.nan))])


def test_classes_are_scored_as_classes_everywhere():
    traces = [make_trace(str(i)) for i in range(MIN_SESSIONS)]
    scores = score(traces)
    assert scores.headline == "kappa" and scores.value == score_classes(traces).kappa
    assert scores.interval.low < scores.value < scores.interval.high
    each = score_by(traces, "session")
    assert scores.session_mean == pytest.approx(
        np.mean([s.value for s in each.values()])
    )
    left = leave_one_out(traces)
    assert left["s", "3"] == score_classes(traces[:3] + traces[4:]).kappa


def test_turns_count_once():
    turns = Turns(("1", "2", "3"), np.array([0, 10, 30]), np.array([10, 30, 40]))
    label = np.full(40, np.nan)
    label[2:10], label[10:18], label[18:30] = 2, 0, 1
    np.testing.assert_array_equal(turn_classes(label, turns, 3), [2, 1, np.nan])
    probability = np.tile([0.2, 0.5, 0.3], (40, 1))
    probability[0] = [0.0, 0.0, 1.0]
    probability[1:10] = [0.4, 0.35, 0.25]
    trace = dataclasses.replace(
        make_trace(frames=40, turns=turns), label=label
    ).with_probabilities(probability)
    scores = score_classes([trace])
    # The mean over the frames of the first turn is 0.36, 0.315, 0.325.
    assert scores.confusion == ((0, 0, 0), (0, 1, 0), (1, 0, 0))
    assert (scores.num_frames, scores.unit) == (2, "turn")


def test_raters_agree_on_a_class_or_on_none():
    nobody = np.nan
    ratings = np.array([[0, 1, 2, 0, nobody, 1], [0, 1, 1, 2, nobody, 2], [1, 1, 0, nobody, nobody, nobody]])  # fmt: skip # noqa: E501
    votes = agree_on_class(ratings, num_classes=3, ordered=False)
    np.testing.assert_array_equal(votes, [0, 1, nobody, nobody, nobody, nobody])
    middle = agree_on_class(ratings, num_classes=3, ordered=True)
    np.testing.assert_array_equal(middle, [0, 1, 1, 1, nobody, nobody])
    alone = agree_on_class(ratings[:1], num_classes=3, ordered=True)
    np.testing.assert_array_equal(alone, ratings[0])


def test_the_human_ceiling_is_a_kappa():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300).astype(float)
    raters = {}
    for name in "abc":
        raters[name] = np.where(rng.random(300) < 0.3, rng.integers(0, 3, 300), truth)
    found = rater_agreement([raters], num_classes=3)
    others = agree_on_class(
        np.stack([raters["b"], raters["c"]]), num_classes=3, ordered=False
    )
    both = np.isfinite(others)
    expected = library.cohen_kappa_score(raters["a"][both], others[both])
    assert found["a"] == pytest.approx(expected)


@pytest.mark.parametrize("sessions", [8, 14, 38])
def test_intervals_of_kappa_hold_the_truth_as_often_as_they_say(sessions):
    rng = np.random.default_rng(sessions)

    def draw(runs, count):
        """Confusion matrices of sessions that differ in classes and in skill."""
        share = rng.dirichlet([3.0, 2.0, 1.0], (runs, count))
        skill = rng.beta(4.0, 3.0, (runs, count))[..., None, None]
        guess = rng.dirichlet([2.0, 2.0, 2.0], (runs, count))[..., None, :]
        table = share[..., None] * (skill * np.eye(3) + (1 - skill) * guess)
        return rng.multinomial(60, table.reshape(runs, count, 9)).reshape(
            runs, count, 3, 3
        )

    truth = kappa_of(draw(1, 20_000)[0].sum(axis=0)).item()
    ends = np.array(
        [
            jackknife_interval(tables, kappa_of, confidence=0.95)
            for tables in draw(1_000, sessions)
        ]
    )
    held = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    assert 0.92 <= held <= 0.98, held
