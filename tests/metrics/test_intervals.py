"""Metrics against hand values and naive implementations of the official formula."""

import logging

import numpy as np
import pytest
from scipy import stats

from damamba_jax.metrics.agreement import MIN_SESSIONS, jackknife_interval
from damamba_jax.metrics.ccc import EPSILON, ccc, ccc_of
from damamba_jax.metrics.intervals import score, score_by, score_numbers
from damamba_jax.metrics.trace import Trace, align_frames

UNLABELLED = Trace(
    split="noxi/test-base",
    session="001",
    role="robot",
    label=np.full(3, np.nan),
    prediction=np.ones(3),
)


def official_ccc(label, prediction):
    """The challenge's formula, as its scripts write it: through the correlation."""
    r = np.corrcoef(label, prediction)[0, 1]
    numerator = 2 * r * np.std(label) * np.std(prediction)
    difference = np.mean(label) - np.mean(prediction)
    return numerator / (np.var(label) + np.var(prediction) + difference**2 + 1e-12)


def make_traces(sessions=7, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    traces = []
    for s in range(sessions):
        for role in ("expert", "novice"):
            frames = int(rng.integers(50, 400))
            level = rng.normal(0.5, 0.2)
            label = level + rng.normal(0, 0.1, frames)
            prediction = 0.6 * label + rng.normal(0.2, 0.1, frames) + offset
            label[rng.random(frames) < 0.1] = np.nan
            traces.append(
                Trace(
                    split="noxi/val",
                    session=f"{s:03d}",
                    role=role,
                    label=label,
                    prediction=prediction,
                    language="German" if s % 2 else None,
                )
            )
    return traces


def pooled(traces):
    label = np.concatenate([t.label for t in traces])
    prediction = np.concatenate([t.prediction for t in traces])
    valid = ~np.isnan(label)
    return label[valid], prediction[valid]


def test_ccc_of_a_table_worked_by_hand():
    # means 2 and 3, variances 2/3 and 2/3, covariance 2/3: (4/3) / (4/3 + 1) = 4/7
    assert ccc(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])) == pytest.approx(
        4 / 7, abs=1e-10
    )
    # twice the scale: covariance 4/3, variances 2/3 and 8/3: (8/3) / (10/3 + 4) = 4/11
    assert ccc(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])) == pytest.approx(
        4 / 11, abs=1e-10
    )
    reverse = ccc(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    assert reverse == pytest.approx(-1.0, abs=1e-10)


@pytest.mark.parametrize("offset", [0.0, 0.3, 100.0])
def test_pooled_scores_equal_the_official_formula(offset):
    traces = make_traces(offset=offset)
    label, prediction = pooled(traces)
    scores = score(traces)
    assert scores.num_frames == len(label)
    assert scores.num_sessions == 7
    assert scores.ccc == pytest.approx(official_ccc(label, prediction), abs=1e-9)
    assert ccc(label, prediction) == pytest.approx(scores.ccc, abs=1e-12)
    assert scores.pearson == pytest.approx(np.corrcoef(label, prediction)[0, 1])
    assert scores.mse == pytest.approx(np.mean((label - prediction) ** 2))
    assert scores.mae == pytest.approx(np.mean(abs(label - prediction)))


def test_pooled_score_is_not_the_mean_of_sessions():
    traces = make_traces()
    by_session = score_by(traces, "session")
    mean = np.mean([s.ccc for s in by_session.values()])
    assert abs(score(traces).ccc - mean) > 0.05


def test_float32_input_is_scored_in_float64():
    rng = np.random.default_rng(1)
    label = (0.9 + 1e-3 * rng.normal(size=300_000)).astype(np.float32)
    prediction = (label + 1e-3 * rng.normal(size=label.size)).astype(np.float32)
    expected = official_ccc(label.astype(np.float64), prediction.astype(np.float64))
    assert abs(official_ccc(label, prediction) - expected) > 1e-8
    assert ccc(label, prediction) == pytest.approx(expected, abs=1e-10)


def test_constant_prediction_scores_zero_with_a_warning(caplog):
    label = np.linspace(0, 1, 10)
    with caplog.at_level(logging.WARNING):
        assert ccc(label, np.full(10, 0.1)) == pytest.approx(0, abs=1e-12)
    assert "constant" in caplog.text
    caplog.clear()
    trace = Trace(
        split="s", session="1", role="a", label=label, prediction=np.full(10, 0.1)
    )
    with caplog.at_level(logging.WARNING):
        scores = score([trace])
    assert (scores.ccc, scores.pearson) == (0.0, 0.0)
    assert "constant" in caplog.text


def test_alignment_of_an_annotation_with_a_gap_in_the_middle():
    label = np.array([0.1, 0.2, np.nan, np.nan, 0.5, 0.6])
    prediction = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    by_index = align_frames(label, prediction)
    np.testing.assert_array_equal(by_index.label, [0.1, 0.2, 0.5, 0.6])
    np.testing.assert_array_equal(by_index.prediction, [0.1, 0.2, 0.5, 0.6])
    script5 = align_frames(label, prediction, align="official_script5")
    np.testing.assert_array_equal(script5.label, [0.1, 0.2, 0.5, 0.6])
    np.testing.assert_array_equal(script5.prediction, [0.1, 0.2, 0.3, 0.4])
    trace = Trace(split="s", session="1", role="a", label=label, prediction=prediction)
    assert score([trace]).ccc == pytest.approx(1.0)
    shifted = score_numbers([trace], align="official_script5").ccc
    assert shifted == pytest.approx(
        official_ccc(script5.label, script5.prediction), abs=1e-9
    )
    assert shifted < 0.9


def test_script5_drops_missing_predictions_and_cuts_to_the_shorter():
    frames = align_frames(
        np.array([1.0, np.nan, 2.0]),
        np.array([np.nan, 5.0, 6.0, 7.0, 8.0]),
        align="official_script5",
    )
    np.testing.assert_array_equal(frames.label, [1.0, 2.0])
    np.testing.assert_array_equal(frames.prediction, [5.0, 6.0])


def naive_interval(traces):
    """Scores all sessions, and all but one, from the frames themselves."""
    names = sorted({t.session for t in traces})
    z = np.arctanh(official_ccc(*pooled(traces)))
    without = [
        np.arctanh(official_ccc(*pooled([t for t in traces if t.session != name])))
        for name in names
    ]
    error = np.sqrt((len(names) - 1) * np.var(without))
    margin = stats.t(len(names) - 1).ppf(0.975) * error
    return np.tanh(z - margin), np.tanh(z + margin)


def test_interval_equals_one_from_the_frames_themselves():
    traces = make_traces(sessions=9)
    scores = score(traces)
    low, high = naive_interval(traces)
    assert scores.ccc_low == pytest.approx(low, abs=1e-9)
    assert scores.ccc_high == pytest.approx(high, abs=1e-9)
    assert low < scores.ccc < high
    assert score(traces[::-1]) == scores
    narrow = score_numbers(traces, confidence=0.5)
    assert low < narrow.ccc_low < scores.ccc < narrow.ccc_high < high


def test_fewer_than_eight_sessions_have_no_interval():
    scores = score(make_traces(sessions=MIN_SESSIONS - 1))
    assert scores.ccc_low is None and scores.ccc_high is None
    assert score(make_traces(sessions=MIN_SESSIONS)).ccc_low is not None


def test_mean_and_spread_over_sessions():
    traces = make_traces()
    scores = score(traces)
    each = [s.ccc for s in score_by(traces, "session").values()]
    assert scores.session_mean == pytest.approx(np.mean(each))
    assert scores.session_std == pytest.approx(np.std(each, ddof=1))
    (alone,) = score_by(make_traces(sessions=1), "session").values()
    assert alone.session_mean == alone.ccc and alone.session_std is None


def draw_sessions(rng, runs, sessions, spread):
    """Moments [runs, sessions, 8] of sessions that differ in level, gain and noise."""

    def normal(scale, frames=1):
        return scale * rng.standard_normal((runs, sessions, frames))

    label = normal(0.6 * spread) + normal(1.0, 100)
    gain = 0.8 + normal(0.25 * spread)
    noise = 0.45 * np.exp(normal(0.3 * spread)) * normal(1.0, 100)
    prediction = gain * label + normal(0.35 * spread) + noise
    error = label - prediction
    columns = [
        np.ones_like(label), label, prediction, label**2, prediction**2,
        label * prediction, error**2, abs(error),
    ]  # fmt: skip
    return np.stack([column.sum(axis=-1) for column in columns], axis=-1)


@pytest.mark.parametrize("sessions", [8, 10, 14, 38])
@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_intervals_hold_the_truth_as_often_as_they_say(sessions, spread):
    rng = np.random.default_rng(sessions)
    (population,) = draw_sessions(rng, 1, 20_000, spread)
    truth = float(ccc_of(population.sum(axis=0)[None], EPSILON)[0])
    ends = np.array(
        [
            jackknife_interval(
                moments, lambda sums: ccc_of(sums, EPSILON), confidence=0.95
            )
            for moments in draw_sessions(rng, 1_000, sessions, spread)
        ]
    )
    held = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    # A thousand runs know it to 0.7 %.
    assert 0.92 <= held <= 0.98, held


def test_groups():
    traces = make_traces()
    by_role = score_by(traces, "role")
    assert list(by_role) == ["expert", "novice"]
    label, prediction = pooled([t for t in traces if t.role == "novice"])
    assert by_role["novice"].ccc == pytest.approx(official_ccc(label, prediction))
    assert list(score_by(traces, "language")) == ["German", "unknown"]
    sessions = score_by(traces, "session")
    assert sessions["noxi/val/003"].num_sessions == 1
    assert len(sessions) == 7
    nothing = Trace(
        split="s",
        session="1",
        role="x",
        label=np.full(3, np.nan),
        prediction=np.ones(3),
    )
    assert list(score_by([*traces, nothing], "role")) == ["expert", "novice"]


def test_errors_say_what_was_expected():
    nothing = Trace(
        split="s",
        session="1",
        role="a",
        label=np.full(3, np.nan),
        prediction=np.ones(3),
    )
    with pytest.raises(ValueError, match="at least one labelled frame, got 1 traces"):
        score([nothing])
    with pytest.raises(
        ValueError, match=r"one value per frame of `label` \(3\), got 2"
    ):
        align_frames(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="1 others, the first at frame 1"):
        align_frames(np.ones(3), np.array([0.0, np.nan, 0.0]))
    with pytest.raises(ValueError, match="`label`: expected finite values"):
        ccc(np.array([np.nan, 1.0]), np.ones(2))
    with pytest.raises(ValueError, match="`confidence`"):
        score_numbers(make_traces(1), confidence=95.0)
