"""Turns that are rated as a whole: their frames, means and scores."""

import numpy as np
import pytest

from damamba_jax.metrics.ccc import ccc
from damamba_jax.metrics.intervals import score
from damamba_jax.metrics.trace import Trace
from damamba_jax.metrics.turns import place_turns, turn_means
from damamba_jax.runs.traces import read_traces, write_traces

SPANS = [("b", 1.0, 2.5), ("a", 0.0, 1.0), ("short", 2.51, 2.55), ("late", 2.9, 99.0)]


def test_turns_hold_the_frames_within_their_time():
    turns = place_turns(SPANS, rate=10.0, frames=32)
    assert turns.name == ("a", "b", "late")  # no frame lies within `short`
    assert turns.first.tolist() == [0, 10, 29]
    assert turns.last.tolist() == [10, 25, 32]


def test_means_of_turns_leave_out_what_is_missing():
    turns = place_turns(SPANS, rate=10.0, frames=30)
    values = np.arange(30.0)
    values[[3, 12]] = np.nan
    values[29] = np.inf
    expected = [np.mean([0, 1, 2, 4, 5, 6, 7, 8, 9]), np.mean([10, 11, *range(13, 25)])]
    np.testing.assert_allclose(turn_means(values, turns), [*expected, np.nan])


@pytest.fixture
def traces():
    rng = np.random.default_rng(0)
    made = []
    for session in range(9):
        spans = [(str(i), 3.0 * i, 3.0 * i + 1 + i % 2) for i in range(6)]
        turns = place_turns(spans, rate=5.0, frames=90)
        label = np.full(90, np.nan)
        for i in range(5):  # the last turn is not rated
            label[turns.first[i] : turns.last[i]] = rng.integers(1, 6)
        made.append(
            Trace(
                split="mine/all",
                session=f"s{session}",
                role="person",
                label=label,
                prediction=rng.normal(size=90) + np.nan_to_num(label),
                label_rate=5.0,
                label_range=(1.0, 5.0),
                turns=turns,
            )
        )
    return made


def test_a_turn_counts_once_whatever_its_length(traces):
    label, prediction = [], []
    for trace in traces:
        for i in range(5):
            here = slice(trace.turns.first[i], trace.turns.last[i])
            label.append(trace.label[here].mean())
            prediction.append(trace.prediction[here].mean())
    scores = score(traces)
    assert (scores.num_frames, scores.unit) == (45, "turn")
    expected = ccc(np.array(label), np.array(prediction))
    assert scores.ccc == pytest.approx(expected)
    assert scores.ccc_low < expected < scores.ccc_high
    frames = score([Trace(**{**vars(t), "turns": None}) for t in traces])
    assert (frames.num_frames, frames.unit) == (9 * (5 * 5 + 5 * 2), "frame")
    assert abs(frames.ccc - expected) > 0.01


def test_turns_are_kept_with_the_predictions(traces, tmp_path):
    write_traces(tmp_path, traces)
    again = read_traces(tmp_path, "mine/all")
    assert score(again) == score(traces)
    assert [t.turns.name for t in again] == [t.turns.name for t in traces]
    without = [Trace(**{**vars(t), "turns": None}) for t in traces]
    write_traces(tmp_path, without)
    assert {t.turns for t in read_traces(tmp_path, "mine/all")} == {None}
