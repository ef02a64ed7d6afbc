"""Tables and the picture of a study, which are made from its findings."""

import dataclasses
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib import ticker
from matplotlib.axes import Axes
from rich.console import Console

from damamba_jax.evaluation.results import TITLES
from damamba_jax.reporting import figure as figures
from damamba_jax.reporting.numbers import ABSENT, difference, spread
from damamba_jax.reporting.table import Table, write_tables
from damamba_jax.studies.engine import Findings, RowScores, count_parameters

Cell = Callable[[RowScores], str]
SplitCell = Callable[[RowScores, str], str]
_COLOURS = (figures.PREDICTION, *figures.PARTNERS)
# Differences up to this one are drawn to scale; larger ones are drawn closer together.
_LINEAR_CCC = 0.05


def title_of(split: str) -> str:
    """Returns the published name of a test set; for other splits, their own name."""
    return TITLES.get(split, split)


def wide_table(
    found: Findings,
    title: str,
    *,
    before: Mapping[str, Cell],
    by_split: Mapping[str, SplitCell],
    after: Mapping[str, Cell],
    notes: Sequence[str],
) -> Table:
    """Makes a table with one line for each row of the study.

    Args:
      found: the results of the study.
      title: title of the table.
      before: the first columns, by title.
      by_split: columns that are repeated for each split, by title; a column with an
        empty title gets the title of its split.
      after: the last columns, by title.
      notes: sentences below the table.
    """
    repeated = [name or title_of(split) for split in found.splits for name in by_split]
    return Table(
        title=f"{title}{found.mark}",
        columns=(*before, *repeated, *after),
        rows=tuple(
            (
                *(cell(row) for cell in before.values()),
                *(cell(row, s) for s in found.splits for cell in by_split.values()),
                *(cell(row) for cell in after.values()),
            )
            for row in found.rows
        ),
        notes=tuple(notes),
    )


def long_table(
    found: Findings,
    rows: Sequence[RowScores],
    title: str,
    *,
    columns: Mapping[str, SplitCell],
    notes: Sequence[str],
) -> Table:
    """Makes a table with one line for each split and row.

    Args:
      found: the results of the study.
      rows: rows of the study that the table shows.
      title: title of the table.
      columns: columns by title.
      notes: sentences below the table.
    """
    return Table(
        title=f"{title}{found.mark}",
        columns=("set", *columns),
        rows=tuple(
            (title_of(split), *(cell(row, split) for cell in columns.values()))
            for split in found.splits
            for row in rows
        ),
        notes=tuple(notes),
    )


def parameters(row: RowScores) -> str:
    """Writes the number of parameters of the row's model."""
    return f"{count_parameters(row.row.config):,}"


def ccc(row: RowScores, split: str) -> str:
    """Writes the mean and the standard deviation of the CCC over seeds."""
    return spread(row.ccc[split])


def interval(row: RowScores, split: str, *, digits: int = 3) -> str:
    """Writes the ends of the 95 % interval; empty if the interval is unknown."""
    ends = row.interval.get(split)
    return f"[{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]" if ends else ""


def to_reference(row: RowScores, split: str) -> str:
    """Writes the difference to the row's reference with its standard error."""
    gap = row.gap.get(split)
    return ABSENT if gap is None else difference(0.0 - gap.mean, gap.standard_error)


def share(row: RowScores, split: str, *, digits: int = 0) -> str:
    """Writes the share of the oracle's CCC in per cent."""
    value = row.share(split)
    return ABSENT if value is None else f"{100 * value:.{digits}f} %"


def write_findings(found: Findings, out: Path, *, console: Console) -> None:
    """Prints the tables, and writes them with all numbers and the picture.

    Args:
      found: the results of the study.
      out: folder of the study.
      console: console that is printed on.
    """
    draw(out / f"{found.study.name}.png", found)
    tables = found.study.tables(found)
    write_tables(tables, _tree(found), out / found.study.name, console=console)


@figures.styled
def draw(path: Path, found: Findings) -> None:
    """Draws the scores, the oracle's scores, and the differences to the reference.

    Args:
      path: path of the PNG file.
      found: the results of the study.
    """
    figure = figures.make_figure(11.0, 2.2 + 0.55 * len(found.rows))
    compared = [row for row in found.rows if row.gap]
    panels = figure.subplots(1, 2 if compared else 1, squeeze=False)[0]
    for axes, rows in zip(panels, (found.rows, compared), strict=False):
        figures.tidy(axes)
        titles = [row.row.title for row in rows]
        if len(set(titles)) < len(titles):
            titles = [row.row.key for row in rows]
        axes.set_yticks(range(len(rows)), titles)
        axes.invert_yaxis()
        for k, split in enumerate(found.splits):
            for i, row in enumerate(rows):
                place = i + 0.15 * (k - (len(found.splits) - 1) / 2)
                colour = _COLOURS[k % len(_COLOURS)]
                name = title_of(split) if i == 0 else None
                draw_row = _draw_scores if rows is found.rows else _draw_gap
                draw_row(axes, row, split, place, colour, name)
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3,
        )  # fmt: skip
    panels[0].set_xlabel("CCC; small dots: seeds, diamonds: the oracle")
    if compared:
        panels[1].axvline(0.0, color=figures.QUIET, lw=0.8)
        panels[1].set_xscale("symlog", linthresh=_LINEAR_CCC, linscale=2)
        panels[1].set_xticks([-0.5, -_LINEAR_CCC, -0.02, 0.0, 0.02, _LINEAR_CCC])
        panels[1].xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:+g}"))
        panels[1].xaxis.set_minor_locator(ticker.NullLocator())
        panels[1].set_xlabel(
            "difference of CCC, ± 2 standard errors\n"
            f"(to scale up to {_LINEAR_CCC}; diamonds: predicted)",
        )  # fmt: skip
    mark = found.mark.strip(" ()")
    figures.set_title(figure, f"{found.study.name}, {found.study.base.name}", mark)
    figures.save(figure, path)


def _draw_scores(
    axes: Axes, row: RowScores, split: str, place: float, colour: str, name: str | None
) -> None:
    seeds = row.ccc[split]
    axes.plot(seeds, [place] * len(seeds), ".", color=colour, alpha=0.5)
    axes.plot(fmean(seeds), place, "o", color=colour, label=name)
    if split in row.interval:
        axes.hlines(place, *row.interval[split], color=colour, alpha=0.3)
    if split in row.oracle:
        axes.plot(row.oracle[split].ccc, place, "D", color=colour, fillstyle="none")


def _draw_gap(
    axes: Axes, row: RowScores, split: str, place: float, colour: str, name: str | None
) -> None:
    gap, predicted = row.gap[split], row.predicted[split]
    error = None if gap.standard_error is None else 2 * gap.standard_error
    axes.errorbar(
        -gap.mean, place, xerr=error, fmt="o", color=colour, capsize=3, label=name
    )
    if predicted is not None:
        axes.plot(-predicted, place, "D", color=colour, fillstyle="none")


def _tree(found: Findings) -> dict[str, Any]:
    study = found.study
    rows = [
        {
            "key": row.row.key,
            "title": row.row.title,
            "ccc": row.ccc,
            "interval": row.interval,
            "oracle": {s: dataclasses.asdict(o) for s, o in row.oracle.items()},
            "share": {split: row.share(split) for split in row.oracle},
            "gap": {split: gap._asdict() for split, gap in row.gap.items()},
            "predicted": row.predicted,
        }
        for row in found.rows
    ]
    return {
        "name": study.base.name,
        "simulated": found.index.simulated,
        "config": dataclasses.asdict(study.base),
        "seeds": study.seeds,
        "rows": rows,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        **study.numbers,
    }
