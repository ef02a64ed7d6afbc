"""Differences between groups of people, against values that were computed by hand."""

import dataclasses

import numpy as np
import pytest

from damamba_jax.metrics.fairness import (
    gender_gap,
    language_gaps,
    measure_fairness,
    value_bins,
)
from damamba_jax.metrics.trace import Trace

# Bins: 0 0 0 | 5 5 5 5 | out (exactly 1) | out (not rated).
LABEL = np.array([0.0, 0.05, 0.09, 0.5, 0.55, 0.52, 0.59, 1.0, np.nan])
PREDICTION = np.array([0.1, 0.3, 0.2, 0.5, 0.7, 0.4, 0.6, 9.0, 9.0])
GENDER = np.array(
    ["male", "female", "male", "male", "female", "", "female"] + ["male"] * 2
)
LANGUAGE = np.array(["en", "fr", "en", "en", "en", "fr", "Unknown", "fr", "fr"])


def test_bins_are_those_of_the_official_script():
    assert value_bins(LABEL).tolist() == [0, 0, 0, 5, 5, 5, 5, -1, -1]
    edges = value_bins(np.array([0.1, 0.0999, 0.9, 0.99999, -0.01, 1.01]))
    assert edges.tolist() == [1, 0, 9, 9, -1, -1]


def test_gender_gap():
    # Bin 0: 0.15 - 0.3; bin 5: 0.5 - 0.65; every bin counts alike.
    gap = gender_gap(value_bins(LABEL), PREDICTION, GENDER)
    assert gap == pytest.approx((-0.15 - 0.15) / 2)
    missing = np.where(np.arange(9) == 2, np.nan, PREDICTION)
    gap = gender_gap(value_bins(LABEL), missing, GENDER)
    assert gap == pytest.approx((-0.2 - 0.15) / 2)
    assert gender_gap(value_bins(LABEL), PREDICTION, np.full(9, "male")) == 0.0


def test_language_gaps():
    gaps = language_gaps(value_bins(LABEL), PREDICTION, LANGUAGE)
    # Bin 0: mean 0.2; bin 5 without the unknown one: mean 1.6 / 3.
    assert gaps == {
        "en": pytest.approx((-0.05 + 0.6 - 1.6 / 3) / 2),
        "fr": pytest.approx((0.1 + 0.4 - 1.6 / 3) / 2),
    }


def test_classes_are_strata_and_their_order_matters():
    truth = np.array([0, 0, 0, 1, 1])
    predicted = np.array([0.0, 2.0, 1.0, 3.0, 1.0])
    gender = np.array(["male", "female", "male", "male", "female"])
    assert gender_gap(truth, predicted, gender) == pytest.approx((-1.5 + 2.0) / 2)
    # The same classes, numbered the other way round.
    assert gender_gap(3 - truth, 3 - predicted, gender) == pytest.approx(-0.25)
    swapped = np.array([1.0, 0.0, 2.0, 3.0])[predicted.astype(int)]
    assert gender_gap(truth, swapped, gender) == pytest.approx((-1.5 + 3.0) / 2)


def trace(role, label, prediction, **fields):
    values = (np.array(v, float) for v in (label, prediction))
    label, prediction = values
    return Trace(
        split="noxi/val", session="1", role=role, label=label, prediction=prediction,
        **fields,
    )  # fmt: skip


def test_traces_in_their_own_range():
    nan = float("nan")
    one = {"label_range": (1.0, 5.0), "language": "French"}
    traces = [
        trace("expert", [3.0, nan, 5.0], [4.0, 1.0, 1.0], gender="male", **one),
        trace("novice", [3.1, 3.2], [3.0, 2.0], gender="female", **one),
        trace("other", [3.1], [5.0], **one),
        trace("unrated", [nan], [5.0], gender="female", **one),
    ]
    found = measure_fairness(traces)
    assert found is not None
    # On [0, 1]: 0.75 - (0.5 + 0.25) / 2.
    assert found.gender == pytest.approx(0.375)
    assert found.languages == {}
    assert found.people == {"male": 1, "female": 1, "French": 3}
    assert measure_fairness(traces[2:3]) is None
    assert measure_fairness([]) is None


def test_two_languages_are_compared():
    traces = [
        trace("a", [0.5], [0.6], language="French"),
        trace("b", [0.5], [0.4], language="German"),
        trace("c", [0.5], [0.9], language="Unknown"),
    ]
    found = measure_fairness(traces)
    assert found is not None and found.gender is None
    assert found.languages == {
        "French": pytest.approx(0.1), "German": pytest.approx(-0.1)
    }  # fmt: skip
    assert found.people == {"French": 1, "German": 1}


def test_traces_of_classes():
    classes = ("noplay", "aimless", "goaloriented")

    def of(role, label, prediction, gender):
        return dataclasses.replace(
            trace(role, label, prediction, gender=gender), classes=classes
        )

    nan = float("nan")
    traces = [
        of("a", [0, 0, 2, nan], [1, 2, 0, 2], "male"),
        of("b", [0, 2, 1], [0, 1, 1], "female"),
    ]
    found = measure_fairness(traces)
    # True class 0: 1.5 - 0; class 2: 0 - 1; class 1 has women alone.
    assert found is not None and found.gender == pytest.approx((1.5 - 1.0) / 2)


def test_classes_count_in_the_official_order_whatever_a_configuration_says():
    official = ("goaloriented", "aimless", "adultseeking", "noplay")
    other = tuple(sorted(official))
    number = {i: other.index(name) for i, name in enumerate(official)}

    def of(classes, renumber):
        people = [("a", [0, 0, 2, 3], [1, 2, 0, 2], "male"),
                  ("b", [0, 2, 1, 3], [0, 1, 1, 3], "female")]  # fmt: skip
        return [
            dataclasses.replace(
                trace(r, list(map(renumber, y)), list(map(renumber, p)), gender=g),
                classes=classes,
            )
            for r, y, p, g in people
        ]

    one = measure_fairness(of(official, lambda i: i))
    assert one.gender == measure_fairness(of(other, number.get)).gender != 0
