"""The picture of `memory_curve.py`: the peaks of all systems, and their growth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from benchmarks.step.memory_table import FIT_FROM, Series, fit_growth, peak, ratios
from damamba_jax.reporting.figure import QUIET, make_figure, save, styled

# Okabe and Ito's colours, which colour-blind readers can tell apart.
SYSTEMS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
LIMIT = "#d55e00"
INK = "#1a1a1a"


@styled
def draw(path: Path, series: Sequence[Series], max_ratio: float) -> None:
    """Draws the curves with their fits, and the growth at each doubling."""
    figure = make_figure(10.6, 4.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    _draw_curves(left, series)
    _draw_ratios(right, series, max_ratio)
    row = series[0].rows[0]
    figure.suptitle(
        f"Memory of one training step · batch {series[0].config.train.batch_size}",
        fontsize=13, color=INK,
    )  # fmt: skip
    note = "compiled for a CPU; for slopes only, two to four times a GPU's bytes"
    if row["platform"] != "cpu":
        note = f"allocator's peak on {row['device']}"
    figure.supxlabel(f"{note} · jax {row['jax']}", fontsize=9, color=QUIET)
    save(figure, path)


def _colours(series: Sequence[Series]) -> list[tuple[Series, str]]:
    return [(one, SYSTEMS[i % len(SYSTEMS)]) for i, one in enumerate(series)]


def _draw_curves(axes: Axes, series: Sequence[Series]) -> None:
    ticks = sorted({row["length"] for one in series for row in one.rows})
    for one, colour in _colours(series):
        found, fit = one.peaks, fit_growth(one.peaks)
        name = one.label
        if fit is not None:
            span = np.geomspace(FIT_FROM, max(found))
            line = (fit.fixed_bytes + fit.frame_bytes * span) / 1e9
            axes.plot(span, line, color=colour, lw=7, alpha=0.3,
                      solid_capstyle="round")  # fmt: skip
            name += f" (exponent {fit.exponent:.3f})"
        axes.plot(list(found), [v / 1e9 for v in found.values()], color=colour, lw=1.5,
                  marker="o", ms=6.5, mec="white", mew=1, label=name,
                  zorder=3)  # fmt: skip
        state = [row["state_bytes"] / 1e9 for row in one.rows]
        axes.plot([row["length"] for row in one.rows], state, color=colour, lw=1.2,
                  ls="--")  # fmt: skip
        for row in one.rows:
            if peak(row) is None and found:
                axes.plot(row["length"], max(found.values()) / 1e9, color=colour,
                          marker="x", ms=9, mew=2, ls="")  # fmt: skip
    axes.plot([], [], color=QUIET, lw=7, alpha=0.3, label="straight line")
    axes.plot([], [], color=QUIET, lw=1.2, ls="--", label="parameters, AdamW, EMA")
    if any(peak(row) is None for one in series for row in one.rows):
        axes.plot([], [], color=QUIET, marker="x", ms=8, mew=2, ls="",
                  label="out of memory")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="frames of a window", ylabel="GB")
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:,g}"))
    axes.legend(fontsize=9, loc="lower left", bbox_to_anchor=(-0.02, 1),
                ncols=2, columnspacing=1.4, handlelength=2.2)  # fmt: skip
    _tidy(axes)
    axes.tick_params(axis="x", labelrotation=45)


def _draw_ratios(axes: Axes, series: Sequence[Series], max_ratio: float) -> None:
    """Draws a dot for each doubling: 1 is no growth, 2 is linear, 4 is quadratic."""
    growths = [ratios(one.peaks) for one in series]
    doublings = sorted(set().union(*growths))
    highest = max([max_ratio, *(v for growth in growths for v in growth.values())])
    for (_, colour), growth in zip(_colours(series), growths, strict=True):
        for n, value in growth.items():
            at = doublings.index(n)
            axes.plot(value, at, color=colour, marker="o", ms=8, mec="white", mew=1)
            axes.annotate(f"{value:.2f}", (value, at), xytext=(-5, 5), ha="right",
                          textcoords="offset points", color=colour,
                          fontsize=9)  # fmt: skip
    axes.axvline(2, color=QUIET, lw=1, ls=":", zorder=0)
    axes.axvline(max_ratio, color=LIMIT, lw=1.4, ls="--", zorder=0)
    axes.annotate(f"DA-Mamba: at most {max_ratio:g}", (max_ratio, 1.0),
                  xycoords=("data", "axes fraction"), xytext=(0, 4), va="bottom",
                  ha="center", textcoords="offset points", color=LIMIT,
                  fontsize=9)  # fmt: skip
    axes.set_yticks(range(len(doublings)), [f"{n // 2} to {n}" for n in doublings])
    axes.set(xlabel="growth when the length doubles (linear: 2)",
             xlim=(1, highest + 0.12),
             ylim=(max(len(doublings), 5) - 0.5, -0.7))  # fmt: skip
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=9)
    axes.tick_params(which="minor", length=0, labelbottom=False)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
