"""Gap between the scores of two models, with its standard error.

Both models were trained with the same seeds and scored on the same frames. `C(m, i)` is
the pooled score (CCC, or kappa of classes) of model `m` trained with seed `i`.
`C(m, i, -j)` is the same score without session `j`. The gap is the mean over the `S`
seeds of

    g(i) = C(full, i) - C(row, i)

Seeds (the order of the data, dropout) and sessions have effects that both models share.
These effects cancel in each difference. Two things make the gap uncertain, and their
variances add up:

    seeds:     variance of the S values g(i), over S
    sessions:  (J - 1) / J * sum over j of (g(-j) - mean of g(-j))^2,  the jackknife
               over the J sessions of the gap averaged over seeds

The jackknife leaves out whole sessions and uses the pooled score, because the frames of
a session are dependent and CCC is not a mean over sessions. An effect of one pair of
seed and session is counted by both terms (Owen, "The pigeonhole bootstrap", 2007). The
standard error is therefore too large, but only by little if there are many seeds or
many sessions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from damamba_jax.metrics.intervals import leave_one_out, score
from damamba_jax.metrics.trace import Trace


class PairedGap(NamedTuple):
    """Loss of the second model against the first.

    Attributes:
      mean: the score of the first model minus that of the second, averaged over seeds.
      standard_error: the standard error of `mean`; `None` with one seed or one session,
        since one says nothing about the next.
      seed_error, session_error: the two parts of the standard error; `None` where they
        cannot be known.
      num_seeds, num_sessions, num_frames: how many of each were paired.
    """

    mean: float
    standard_error: float | None
    seed_error: float | None
    session_error: float | None
    num_seeds: int
    num_sessions: int
    num_frames: int


def measure_gap(
    full: Sequence[Sequence[Trace]], row: Sequence[Sequence[Trace]]
) -> PairedGap:
    """Measures the gap between two models. The module's docstring has the formula.

    Args:
      full: the first model's traces of one split, for each seed.
      row: the second model's traces, for the same seeds in the same order.

    Raises:
      ValueError: if seeds, people or annotations differ, or no frame has a label.
    """
    if len(full) != len(row) or not full:
        raise ValueError(
            f"`row`: expected the {len(full)} seeds of `full`, got {len(row)}."
        )
    for traces in [*full[1:], *row]:
        _check_frames(full[0], traces)
    one, other = ([score(t) for t in m] for m in (full, row))
    gaps = np.array([a.value - b.value for a, b in zip(one, other, strict=True)])
    seeds, sessions = len(gaps), one[0].num_sessions
    seed_error = float(gaps.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else None
    session_error = None
    if sessions > 1:
        left = np.mean(
            [
                np.subtract(_left_out(first), _left_out(second))
                for first, second in zip(full, row, strict=True)
            ],
            axis=0,
        )
        session_error = float(left.std() * np.sqrt(sessions - 1))
    both = None
    if seed_error is not None and session_error is not None:
        both = float(np.hypot(seed_error, session_error))
    return PairedGap(
        mean=float(gaps.mean()),
        standard_error=both,
        seed_error=seed_error,
        session_error=session_error,
        num_seeds=seeds,
        num_sessions=sessions,
        num_frames=one[0].num_frames,
    )


def _left_out(traces: Sequence[Trace]) -> list[float]:
    return list(leave_one_out(traces).values())


def _check_frames(one: Sequence[Trace], other: Sequence[Trace]) -> None:
    first, second = (
        {(t.split, t.session, t.role): t.label for t in m} for m in (one, other)
    )
    same = first.keys() == second.keys() and all(
        np.array_equal(label, second[key], equal_nan=True)
        for key, label in first.items()
    )
    if not same:
        raise ValueError(
            "`row`: expected the people and annotations of `full`, frame by frame, got "
            "others. Evaluate both models on the same recordings."
        )
