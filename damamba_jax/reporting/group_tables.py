"""Tables of classes, of groups of people, and of differences between groups."""

from collections.abc import Sequence
from typing import TypeAlias

from damamba_jax.evaluation.results import Result, SplitResult
from damamba_jax.metrics.agreement import Agreement
from damamba_jax.metrics.classes import ClassScores
from damamba_jax.reporting.numbers import counted, details, percent, with_interval
from damamba_jax.reporting.table import Table

# A result, one of its splits, and the scores of this split.
Shown: TypeAlias = tuple[Result, SplitResult, Agreement]


def scored(results: Sequence[Result]) -> list[Shown]:
    """Lists every split that has scores, with its result."""
    return [(r, s, s.scores) for r in results for s in r.splits if s.scores is not None]


def method_name(result: Result) -> str:
    """Returns the name of a model in tables: step, protocol and smoothing included."""
    suffix = ", one long pass" if result.protocol == "long" else ""
    if result.smoothing != "none":
        suffix += f", smoothed ({result.smoothing})"
    step = "" if result.step is None else f", step {result.step}"
    return f"{result.method}{step}{suffix}"


def confusion_tables(results: Sequence[Result]) -> list[Table]:
    """Makes a confusion table for each scored split with classes."""
    return [
        Table(
            title=f"{s.split}: annotated class (rows) and predicted class (columns)",
            columns=("annotated", *scores.classes, "recall"),
            rows=tuple(
                (name, *map(str, row), percent(row[i] / sum(row) if sum(row) else None))
                for i, (name, row) in enumerate(
                    zip(scores.classes, scores.confusion, strict=True)
                )
            ),
            notes=(f"{scores.unit}s of {method_name(result)}.",),
        )
        for result, s, scores in scored(results)
        if isinstance(scores, ClassScores)
    ]


def fairness_table(results: Sequence[Result]) -> Table:
    """Makes the table of differences between genders and between languages."""
    rows = []
    for result, s, _ in scored(results):
        fair = s.fairness
        if fair is None:
            continue
        gaps = {name: (gap, name) for name, gap in fair.languages.items()}
        if fair.gender is not None:
            gaps = {"men - women": (fair.gender, "male"), **gaps}
        rows += [
            (s.split, method_name(result), group, f"{gap:+.4f}",
             str(fair.people.get(name, 0)), result.mark)
            for group, (gap, name) in gaps.items()
        ]  # fmt: skip
    return Table(
        title="Differences between groups of people (CDD)",
        columns=("split", "method", "group", "CDD", "people", "origin"),
        rows=tuple(rows),
        notes=(
            "These are conditional differences, as the challenge defines them. Among "
            "frames of about the same true value, they show how much higher the mean "
            "prediction is for men than for women, or for one language than for all "
            "languages; 0 is fair. `people` is the number of men, or of people who "
            "speak the language.",
        ),
    )


def group_tables(results: Sequence[Result], name: str, field: str) -> list[Table]:
    """Makes tables with a line for each group, one table for each kind of scores.

    Args:
      results: the results.
      name: what the groups are, e.g. `"role"`.
      field: the field of `SplitResult` that holds their scores.
    """
    rows: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for result, s, _ in scored(results):
        for group, v in getattr(s, field).items():
            label = group if group.startswith(s.split) else f"{s.split}: {group}"
            extra = details(v)
            rows.setdefault((v.headline, *extra), []).append(
                (label, s.kind, method_name(result), counted(v), with_interval(v),
                 *extra.values(), result.mark)
            )  # fmt: skip
    return [
        Table(
            title=f"By {name}", columns=(name, "set", "method", "frames", *measures,
            "origin"), rows=tuple(some), names=(name,),
            spare=("MAE", "MSE", "frames", "set", *reversed(measures[1:])),
        )
        for measures, some in rows.items()
    ]  # fmt: skip
