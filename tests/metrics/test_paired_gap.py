"""The gap between two models and its standard error, against plain recomputation."""

import dataclasses

import numpy as np
import pytest

from damamba_jax.metrics.intervals import leave_one_out, score
from damamba_jax.metrics.paired_gap import measure_gap
from damamba_jax.metrics.trace import Trace


def draw(seed, *, noise, sessions=6, people=2, frames=120, session_noise=0.0):
    """One model's traces; the annotations are the same for every seed."""
    label_rng, rng = np.random.default_rng(99), np.random.default_rng(seed)
    traces = []
    for s in range(sessions):
        shift = session_noise * rng.normal()
        for p in range(people):
            label = label_rng.normal(0.5, 0.1, frames)
            label[label_rng.random(frames) < 0.1] = np.nan
            prediction = np.nan_to_num(label, nan=0.5) + rng.normal(0, noise, frames)
            traces.append(
                Trace(
                    split="noxi/test-base", session=f"{s:03d}", role=f"p{p}",
                    label=label, prediction=prediction + shift,
                )
            )  # fmt: skip
    return traces


def test_errors_are_those_of_the_formula():
    full = [draw(seed, noise=0.04) for seed in (1, 2, 3)]
    row = [draw(seed, noise=0.06) for seed in (11, 12, 13)]
    gap = measure_gap(full, row)

    def ccc(traces, without=None):
        kept = [t for t in traces if t.session != without]
        return score(kept).ccc

    each = [ccc(a) - ccc(b) for a, b in zip(full, row, strict=True)]
    assert gap.mean == pytest.approx(np.mean(each))
    assert gap.seed_error == pytest.approx(np.std(each, ddof=1) / 3**0.5)
    left = [
        np.mean([ccc(a, s) - ccc(b, s) for a, b in zip(full, row, strict=True)])
        for s in sorted({t.session for t in full[0]})
    ]
    jackknife = (5 / 6 * np.sum((left - np.mean(left)) ** 2)) ** 0.5
    assert gap.session_error == pytest.approx(jackknife)
    both = (gap.seed_error**2 + gap.session_error**2) ** 0.5
    assert gap.standard_error == pytest.approx(both)
    assert (gap.num_seeds, gap.num_sessions) == (3, 6)
    labels = [t.label for t in full[0]]
    assert gap.num_frames == np.isfinite(np.concatenate(labels)).sum()


def test_what_both_models_share_cancels():
    """Sessions that are hard for both make the score uncertain, but not the gap."""
    row = [draw(seed, noise=0.06, session_noise=0.1) for seed in (1, 2)]
    full = [
        [
            dataclasses.replace(t, prediction=t.prediction - 0.02 * np.sign(
                t.prediction - np.nan_to_num(t.label, nan=0.5)))
            for t in traces
        ]
        for traces in row
    ]  # fmt: skip
    apart = measure_gap(full, [draw(s, noise=0.06, session_noise=0.1) for s in (3, 4)])
    together = measure_gap(full, row)
    assert together.mean > 0
    assert together.standard_error < 0.5 * apart.standard_error


def test_error_covers_the_truth_as_often_as_it_should():
    """Over many repetitions with the same true gap of zero, the ratio is about 1."""
    ratios = []
    for repetition in range(60):
        seeds = np.arange(3) + 10 * repetition + 1000
        full = [draw(s, noise=0.05, frames=30) for s in seeds]
        row = [draw(s + 5, noise=0.05, frames=30) for s in seeds]
        gap = measure_gap(full, row)
        ratios.append(gap.mean / gap.standard_error)
    # Errs on the large side: never by a factor of two, hardly ever on the small one.
    assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 1.3


def test_one_seed_or_one_session_says_nothing_about_the_next():
    full, row = [draw(1, noise=0.04)], [draw(2, noise=0.06)]
    gap = measure_gap(full, row)
    assert gap.seed_error is None and gap.standard_error is None
    assert gap.session_error > 0
    one = [[t for t in traces if t.session == "000"] for traces in (*full, *row)]
    gap = measure_gap(one[:1] * 2, one[1:] * 2)
    assert gap.session_error is None and gap.standard_error is None
    with pytest.raises(ValueError, match="two sessions or more, got 1"):
        leave_one_out(one[0])


def test_only_the_same_frames_are_compared():
    full, row = [draw(1, noise=0.04)], [draw(2, noise=0.06)]
    with pytest.raises(ValueError, match="the 1 seeds of `full`, got 2"):
        measure_gap(full, row * 2)
    with pytest.raises(ValueError, match="frame by frame"):
        measure_gap(full, [row[0][1:]])
    other = dataclasses.replace(row[0][0], label=row[0][0].label + 0.01)
    with pytest.raises(ValueError, match="frame by frame"):
        measure_gap(full, [[other, *row[0][1:]]])
