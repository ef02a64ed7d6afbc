"""Tables and picture of a cross-validation, made of its findings."""

import dataclasses
import os
import platform
from statistics import fmean
from typing import Any

from rich.console import Console

from damamba_jax.data.corpus.splits import HELD_OUT
from damamba_jax.metrics.intervals import Scores, score, score_by
from damamba_jax.metrics.paired_gap import PairedGap, measure_gap
from damamba_jax.metrics.raters import describe_agreement
from damamba_jax.metrics.trace import Trace
from damamba_jax.reporting.numbers import ABSENT, counted, difference, number, spread
from damamba_jax.reporting.table import Table, write_tables
from damamba_jax.reporting.timelines import draw_scatter, try_to_draw
from damamba_jax.studies.crossval import FINAL, Findings, Method
from damamba_jax.studies.folds import describe_folds

# Names the files of the tables and of the numbers.
NAME = "crossval"


def write_findings(found: Findings, *, console: Console) -> None:
    """Prints the tables, and writes them with all numbers and a picture."""
    out = found.plan.out
    traces = [t for t in found.methods[0].seeds[0] if t.is_labelled]
    mark = "simulated" if found.simulated else ""
    title = f"{found.plan.config.name} · people left out"
    picture = out / f"{NAME}.png"
    try_to_draw(picture, lambda: draw_scatter(picture, traces, title=title, mark=mark))
    tables = [pooled_table(found), fold_table(found)]
    write_tables(tables, _tree(found), out / NAME, console=console)
    if found.plan.refit:
        text = f"The model that learned from everybody: {out / FINAL}"
        console.print(text)


def pooled_table(found: Findings) -> Table:
    """Makes the table with a line for each method, everybody pooled."""
    best = best_classical(found)
    rows = []
    for method in found.methods:
        scores = [score(_labelled(traces)) for traces in method.seeds]
        rows.append(
            (
                method.title,
                spread([one.ccc for one in scores]),
                _interval(scores),
                _over_sessions(scores),
                number(fmean(one.pearson for one in scores)),
                number(fmean(one.mae for one in scores)),
                ABSENT if method is best else _gap_text(compare(method, best)),
            )
        )
    plan, scores = found.plan, score(_labelled(found.methods[0].seeds[0]))
    seeds = ", ".join(map(str, plan.seeds))
    notes = [
        f"{describe_folds(plan.folds)}; {counted(scores)} of everybody, pooled; seeds "
        f"{seeds}. Nothing of a fold was learned from or chosen by. CCC: mean and "
        "standard deviation over seeds; last column: difference to "
        f"{best.title} and its standard error, paired over sessions and seeds."
    ]
    if found.raters:
        notes.append(f"{describe_agreement(found.raters)}.")
    mark = " (simulated)" * found.simulated
    return Table(
        title=f"Cross-validation of {plan.config.name}{mark}",
        columns=("method", "CCC", "95 %", "per session", "r", "MAE", "to classical"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def fold_table(found: Findings) -> Table:
    """Makes the table with a line for each session: its fold and its scores."""
    each = {m.title: [_by_session(t) for t in m.seeds] for m in found.methods}
    rows = []
    for fold, sessions in enumerate(found.plan.folds):
        for name in sessions:
            cells = [
                number(fmean(seed[name].ccc for seed in seeds if name in seed))
                for seeds in each.values()
            ]
            rows.append((str(fold + 1), name, *cells))
    mark = " (simulated)" * found.simulated
    return Table(
        title=f"CCC of each session by itself{mark}",
        columns=("fold", "session", *each),
        rows=tuple(rows),
    )


def best_classical(found: Findings) -> Method:
    """Returns the classical method with the highest pooled CCC."""
    classical = [method for method in found.methods if method.is_classical]
    return max(classical, key=lambda method: score(_labelled(method.seeds[0])).ccc)


def compare(method: Method, reference: Method) -> PairedGap:
    """Measures what a method gains on another one, over sessions and seeds."""
    one = [_labelled(traces) for traces in reference.seeds]
    other = [_labelled(traces) for traces in method.seeds]
    # A method without seeds is the same for each seed of the other.
    one = one * (len(other) if len(one) == 1 else 1)
    return measure_gap(one, other * (len(one) if len(other) == 1 else 1))


def _gap_text(gap: PairedGap) -> str:
    # Without several seeds the sessions alone say how sure the difference is.
    return difference(0.0 - gap.mean, gap.standard_error or gap.session_error)


def _labelled(traces: list[Trace]) -> list[Trace]:
    return [trace for trace in traces if trace.is_labelled]


def _interval(scores: list[Scores]) -> str:
    lows = [s.ccc_low for s in scores if s.ccc_low is not None]
    highs = [s.ccc_high for s in scores if s.ccc_high is not None]
    if len(lows) < len(scores):
        return ABSENT
    return f"[{fmean(lows):.2f}, {fmean(highs):.2f}]"


def _over_sessions(scores: list[Scores]) -> str:
    means = [s.session_mean for s in scores if s.session_mean is not None]
    spreads = [s.session_std for s in scores if s.session_std is not None]
    text = f" ± {fmean(spreads):.3f}" if spreads else ""
    return f"{fmean(means):.3f}{text}" if means else ABSENT


def _by_session(traces: list[Trace]) -> dict[str, Scores]:
    found = score_by(_labelled(traces), "session")
    return {name.replace(f"{HELD_OUT}/", "/"): one for name, one in found.items()}


def _tree(found: Findings) -> dict[str, Any]:
    best = best_classical(found)
    return {
        "name": found.plan.config.name,
        "simulated": found.simulated,
        "config": dataclasses.asdict(found.plan.config),
        "folds": found.plan.folds,
        "seeds": found.plan.seeds,
        "methods": [
            {
                "title": method.title,
                "scores": [
                    dataclasses.asdict(score(_labelled(traces)))
                    for traces in method.seeds
                ],
                "by_session": [
                    {name: one.ccc for name, one in _by_session(traces).items()}
                    for traces in method.seeds
                ],
                "gap": None if method is best else compare(method, best)._asdict(),
            }
            for method in found.methods
        ],
        "reference": best.title,
        "raters": found.raters,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
