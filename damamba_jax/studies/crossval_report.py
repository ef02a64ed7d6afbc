"""Tables and the picture of a cross-validation, which are made from its findings."""

import dataclasses
import os
import platform
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rich.console import Console

from damamba_jax.metrics.agreement import Agreement, mean_interval
from damamba_jax.metrics.intervals import score, score_by
from damamba_jax.metrics.paired_gap import PairedGap, measure_gap
from damamba_jax.reporting.numbers import (
    ABSENT,
    counted,
    difference,
    mean_details,
    number,
    spread,
)
from damamba_jax.reporting.table import Table, write_tables
from damamba_jax.reporting.timelines import draw_pooled, try_to_draw
from damamba_jax.studies.crossval import FINAL, Findings, Method
from damamba_jax.studies.folds import describe_folds

# Name of the files of tables, numbers and picture, without an ending.
NAME = "crossval"


class Scored(NamedTuple):
    """The scores of one method.

    Attributes:
      method: the method.
      seeds: for each seed, the scores over everybody.
      sessions: for each seed, the scores of single sessions by their names.
      gap: difference to the best classical method; `None` for this method itself.
    """

    method: Method
    seeds: list[Agreement]
    sessions: list[Mapping[str, Agreement]]
    gap: PairedGap | None


def write_findings(found: Findings, *, console: Console) -> None:
    """Prints the tables, and writes them with all numbers and a picture.

    Args:
      found: the results of a cross-validation.
      console: console that is printed on.
    """
    out, traces = found.plan.out, found.methods[0].seeds[0]
    mark = "simulated" if found.simulated else ""
    title = f"{found.plan.config.name} · people left out"
    picture = out / f"{NAME}.png"
    try_to_draw(picture, lambda: draw_pooled(picture, traces, title=title, mark=mark))
    rows, best = score_methods(found)
    tables = [_pooled_table(found, rows, best), _session_table(found, rows)]
    numbers = _tree(found, rows, best)
    write_tables(tables, numbers, out / NAME, console=console)
    members = found.plan.members()
    if found.plan.final == "refit":
        console.print(f"The model that learned from everybody: {out / FINAL}")
    elif members:
        console.print(
            f"The model is the mean of the {len(members)} models of the folds."
        )
    if members:
        named = shlex.quote(str(out))
        console.print(
            f"next:\n  damamba predict --workdir={named} --input=DIR --out=DIR"
        )


def score_methods(found: Findings) -> tuple[list[Scored], Method]:
    """Scores all methods, and compares them with the best classical one.

    Returns:
      The scores of each method, and the classical method with the highest score.
    """
    pooled = [[score(traces) for traces in method.seeds] for method in found.methods]
    classical = [i for i, method in enumerate(found.methods) if method.is_classical]
    best = found.methods[max(classical, key=lambda i: pooled[i][0].value)]
    rows = [
        Scored(
            method=method,
            seeds=scores,
            sessions=[score_by(traces, "session") for traces in method.seeds],
            gap=None if method is best else compare(method, best),
        )
        for scores, method in zip(pooled, found.methods, strict=True)
    ]
    return rows, best


def compare(method: Method, reference: Method) -> PairedGap:
    """Measures how much lower a method scores than a reference.

    The difference is paired over sessions and seeds.
    """
    one, other = reference.seeds, method.seeds
    # A method with one entry is compared with each seed of the other method.
    one = one * (len(other) if len(one) == 1 else 1)
    return measure_gap(one, other * (len(one) if len(other) == 1 else 1))


def _pooled_table(found: Findings, rows: Sequence[Scored], best: Method) -> Table:
    """Makes the table with a row for each method, with scores over everybody."""
    seeds, headline = ", ".join(map(str, found.plan.seeds)), rows[0].seeds[0].headline
    folds = describe_folds(found.plan.folds, by=found.plan.by)
    notes = [
        f"{folds}; {counted(rows[0].seeds[0])} of all people together; seeds {seeds}. "
        f"A model never learned from its fold's sessions, and nothing was chosen by "
        f"them. `{headline}` is the mean and the standard deviation over seeds. The "
        f"last column is the difference to {best.title} and its standard error, paired "
        "over sessions and seeds."
    ]
    if len(set(found.plan.delays)) > 1:
        counts = Counter(found.plan.delays[:-1])
        each = ", ".join(f"{d:g} s in {n}" for d, n in sorted(counts.items()))
        notes.append(
            "Delay of the annotations, which each fold chose by its training sessions: "
            f"{each}."
        )
    if found.ceiling.raters:
        notes.append(f"{found.ceiling}.")
    mark = " (simulated)" * found.simulated
    return Table(
        title=f"Cross-validation of {found.plan.config.name}{mark}",
        columns=(
            "method",
            headline,
            "95 %",
            "per session",
            *mean_details(rows[0].seeds),
            "to classical",
        ),
        rows=tuple(_pooled_row(row) for row in rows),
        notes=tuple(notes),
    )


def _pooled_row(row: Scored) -> tuple[str, ...]:
    ends, gap = mean_interval(row.seeds), ABSENT
    if row.gap is not None:
        # With one seed, only the sessions show how certain the difference is.
        error = row.gap.standard_error or row.gap.session_error
        gap = difference(0.0 - row.gap.mean, error)
    return (
        row.method.title,
        spread([one.value for one in row.seeds]),
        ABSENT if ends is None else f"[{ends[0]:.2f}, {ends[1]:.2f}]",
        _over_sessions(row.seeds),
        *mean_details(row.seeds).values(),
        gap,
    )


def _over_sessions(scores: Sequence[Agreement]) -> str:
    """Writes the mean and the deviation over sessions, averaged over seeds."""
    means = [s.session_mean for s in scores if s.session_mean is not None]
    spreads = [s.session_std for s in scores if s.session_std is not None]
    text = f" ± {fmean(spreads):.3f}" if spreads else ""
    return f"{fmean(means):.3f}{text}" if means else ABSENT


def _mean_value(seeds: Sequence[Agreement]) -> str:
    return number(fmean(one.value for one in seeds)) if seeds else ABSENT


def _session_table(found: Findings, rows: Sequence[Scored]) -> Table:
    """Makes the table with a row for each session: its fold and its scores."""
    lines = [
        (
            str(fold + 1),
            name,
            *(
                _mean_value([one[name] for one in row.sessions if name in one])
                for row in rows
            ),
        )
        for fold, names in enumerate(found.plan.folds)
        for name in names
    ]
    mark = " (simulated)" * found.simulated
    return Table(
        title=f"{rows[0].seeds[0].headline} of each session by itself{mark}",
        columns=("fold", "session", *(row.method.title for row in rows)),
        rows=tuple(lines),
        names=("session",),
    )


def _tree(found: Findings, rows: Sequence[Scored], best: Method) -> dict[str, Any]:
    return {
        "name": found.plan.config.name,
        "simulated": found.simulated,
        "config": dataclasses.asdict(found.plan.config),
        "folds": found.plan.folds,
        "by": found.plan.by,
        "seeds": found.plan.seeds,
        "delays": found.plan.delays,
        "methods": [
            {
                "title": row.method.title,
                "scores": [dataclasses.asdict(one) for one in row.seeds],
                "by_session": [
                    {name: one.value for name, one in sessions.items()}
                    for sessions in row.sessions
                ],
                "gap": None if row.gap is None else row.gap._asdict(),
            }
            for row in rows
        ],
        "reference": best.title,
        "raters": found.ceiling.raters,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
