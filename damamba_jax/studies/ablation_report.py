"""The ablation's tables and its picture."""

import dataclasses
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from rich.console import Console

from damamba_jax.evaluation.published import ABLATION, SOURCES
from damamba_jax.evaluation.results import COLUMNS, TITLES
from damamba_jax.files import write_text
from damamba_jax.reporting.figure import (
    PARTNERS,
    PREDICTION,
    QUIET,
    make_figure,
    save,
    set_title,
    tidy,
)
from damamba_jax.reporting.numbers import ABSENT, spread
from damamba_jax.reporting.table import Table, show
from damamba_jax.studies.ablation_scores import MOST_ERRORS, Findings

# Where a legend hides nothing.
_ABOVE = {
    "loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3,
    "frameon": False, "fontsize": 9,
}  # fmt: skip


def tables(findings: Findings) -> list[Table]:
    """Makes the tables that there are numbers for, the paper's own first."""
    made = [_score_table(findings), _gap_table(findings), _share_table(findings)]
    return [table for table in made if table.rows]


def publish(findings: Findings, out: Path, *, console: Console) -> None:
    """Writes `ablation.md`, `ablation.json` and `ablation.png`; prints the tables."""
    made = tables(findings)
    mark = "simulated" if findings.simulated else "ours"
    text = [f"# {findings.name} ({mark})\n"]
    write_text(
        out / "ablation.md", "\n".join([*text, *(t.to_markdown() for t in made)])
    )
    write_text(
        out / "ablation.json",
        json.dumps(_tree(findings), indent=2, allow_nan=False) + "\n",
    )
    draw(out / "ablation.png", findings)
    for table in made:
        show(table, console)
    console.print(
        f"Written: {mark} {out / 'ablation.md'}, ablation.json and ablation.png",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def draw(path: Path, findings: Findings) -> None:
    """Draws each row's scores, and measured beside predicted gaps."""
    mark = "simulated" if findings.simulated else ""
    figure = make_figure(11.0, 2.2 + 0.75 * len(findings.rows))
    left, right = figure.subplots(1, 2)
    _draw_scores(left, findings)
    _draw_gaps(right, findings)
    set_title(figure, findings.name, mark)
    save(figure, path)


def _draw_scores(axes: Axes, findings: Findings) -> None:
    tidy(axes)
    names = [row.row.title for row in findings.rows]
    for k, split in enumerate(findings.splits):
        colour = PARTNERS[k % len(PARTNERS)]
        for i, row in enumerate(findings.rows):
            place = i + 0.15 * (k - (len(findings.splits) - 1) / 2)
            seeds = row.ccc[split]
            axes.plot(seeds, [place] * len(seeds), ".", color=colour, alpha=0.5)
            axes.plot(
                fmean(seeds), place, "o", color=colour,
                label=TITLES.get(split, split) if i == 0 else None,
            )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("CCC; small dots are seeds", fontsize=10)
    axes.legend(**_ABOVE)


def _draw_gaps(axes: Axes, findings: Findings) -> None:
    tidy(axes)
    split = next(iter(findings.splits), None)
    gaps = [gap for gap in findings.gaps if gap.split == split]
    for i, gap in enumerate(gaps):
        error = gap.measured.standard_error
        axes.errorbar(
            gap.measured.mean, i, xerr=None if error is None else MOST_ERRORS * error,
            fmt="o", color=PREDICTION, capsize=4,
            label=f"measured, ± {MOST_ERRORS:g} standard errors" if i == 0 else None,
        )  # fmt: skip
        if gap.predicted is not None:
            axes.plot(
                gap.predicted, i, "D", color=PARTNERS[0], markersize=8,
                markerfacecolor="none", label="predicted by the oracle",
            )  # fmt: skip
    axes.axvline(0.0, color=QUIET, lw=0.8)
    axes.set_yticks(range(len(gaps)), [gap.row.title for gap in gaps])
    axes.invert_yaxis()
    title = TITLES.get(split, split) or ""
    axes.set_xlabel(f"CCC lost against {findings.rows[0].row.title}, {title}")
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), **_ABOVE)


def _score_table(findings: Findings) -> Table:
    rows = []
    for row in findings.rows:
        literature = ABLATION[row.row.key]
        rows.append(
            (
                row.row.title,
                f"{row.num_parameters:,}",
                *(
                    spread(row.ccc[split]) + _brackets(row.interval.get(split))
                    for split in findings.splits
                ),
                spread(row.overall),
                str(len(row.seeds)),
                " / ".join(f"{v:.2f}" for v in literature[1:5]),
            )
        )
    titles = [TITLES.get(split, split) for split in findings.splits]
    notes = [
        "CCC over all frames of a set, pooled: mean ± standard deviation over seeds; "
        "in brackets the 95 % interval over sessions, averaged over seeds. "
        "Global is the mean of the three test sets and needs all of them.",
        f"Published: {' / '.join(COLUMNS)} / Global, {SOURCES[2]}.",
    ]
    if findings.simulated:
        notes.append(
            "Ours were measured on a drawn corpus (simulated), the published ones on "
            "recordings: only the order of the rows can be compared. MPIIGI and "
            "NoXi-Add are domains that no row was trained on."
        )
    return Table(
        title="Ablation" + " (simulated)" * findings.simulated,
        columns=("row", "parameters", *titles, "Global", "seeds", "published"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _gap_table(findings: Findings) -> Table:
    rows = tuple(
        (
            TITLES.get(gap.split, gap.split),
            gap.row.title,
            _signed(gap.measured.mean),
            _number(gap.measured.standard_error),
            _signed(gap.predicted),
            ABSENT if gap.errors_away is None else f"{gap.errors_away:.1f}",
            {None: ABSENT, True: "yes", False: "NO"}[gap.agrees],
            _signed(gap.published, digits=2),
        )
        for gap in findings.gaps
    )
    return Table(
        title="What each part is worth" + " (simulated)" * findings.simulated,
        columns=(
            "set", "row", "CCC lost", "standard error", "predicted", "errors away",
            f"within {MOST_ERRORS:g}", "published",
        ),
        rows=rows,
        notes=(
            "CCC lost against the full model on the same frames; standard errors are "
            "paired over seeds and sessions (paired_gap.py). Predicted: what the "
            "oracle loses on these frames without the partners, or when it can only "
            "mix the groups' estimates linearly; for a Transformer, and outside the "
            "training domain, it predicts nothing.",
        ),
    )  # fmt: skip


def _share_table(findings: Findings) -> Table:
    return Table(
        title="Share of the oracle that the full model reaches (simulated)",
        columns=("set", "oracle", "oracle CCC", "CCC", "share"),
        rows=tuple(
            (
                TITLES.get(share.split, share.split),
                share.oracle.name,
                f"{share.oracle.ccc:.3f}",
                f"{share.ccc:.3f}",
                f"{100 * share.share:.0f} %",
            )
            for share in findings.shares
        ),
        notes=(
            "Computed on the frames that the model is scored on. A transfer oracle "
            "knows the training domain's parameters only: a yardstick, not a bound.",
        ),
    )


def _tree(findings: Findings) -> dict[str, Any]:
    return {
        "name": findings.name,
        "simulated": findings.simulated,
        "rows": [
            {
                **dataclasses.asdict(row),
                "row": row.row._asdict(),
                "overall": row.overall,
                "published": {
                    **ABLATION[row.row.key]._asdict(),
                    "sources": [SOURCES[k] for k in ABLATION[row.row.key].sources],
                },
            }
            for row in findings.rows
        ],
        "gaps": [
            {
                **dataclasses.asdict(gap),
                "row": gap.row.key,
                "measured": gap.measured._asdict(),
                "errors_away": gap.errors_away,
                "agrees": gap.agrees,
            }
            for gap in findings.gaps
        ],
        "shares": [
            {**dataclasses.asdict(share), "share": share.share}
            for share in findings.shares
        ],
    }


def _brackets(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]"


def _signed(value: float | None, *, digits: int = 3) -> str:
    return ABSENT if value is None else f"{value:+.{digits}f}"


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"
