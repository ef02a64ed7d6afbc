"""What `memory_curve.py` makes of its measurements: the fit, a table, a picture."""

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from damamba_jax.config import Config
from damamba_jax.report import ABSENT, Table

# Shorter windows are dominated by what does not depend on their length.
FIT_FROM = 256
CPU_NOTE = (
    "Compiled for a CPU, never run: two to four times the memory of a GPU. For slopes "
    "only; these bytes do not belong beside published gigabytes."
)
GPU_NOTE = (
    "Peak of the GPU's allocator over three steps, in a process per length. A row "
    "marked * could not be told from the scratch memory of compilation."
)
# Okabe and Ito's colours, which stay apart for colour-blind readers.
PEAK, COMPILED, FITTED, LIMIT = "#0072b2", "#56b4e9", "#e69f00", "#d55e00"
INPUT = "#009e73"
INK, QUIET, GRID = "#1a1a1a", "#6b6b6b", "#e6e6e6"


class Fit(NamedTuple):
    """Growth of the peak with the length.

    Attributes:
      exponent: of the power law through the points, 1 is linear.
      fixed_bytes, frame_bytes: of the straight line through them.
    """

    exponent: float
    fixed_bytes: float
    frame_bytes: float


class Longest(NamedTuple):
    """The longest window within a budget of memory.

    Attributes:
      max_bytes: the budget.
      frames, peak_bytes: of the longest one that was measured; 0 if none fits.
      fitted_frames: where the straight line reaches the budget; None without a line.
      at_limit: whether a longer one was measured and does not fit.
    """

    max_bytes: float
    frames: int
    peak_bytes: int
    fitted_frames: int | None
    at_limit: bool


def longest(rows: Sequence[Mapping[str, Any]], max_bytes: float) -> Longest:
    """Finds the longest window whose peak is within the budget."""
    found = peaks(rows)
    frames = max((n for n, size in found.items() if size <= max_bytes), default=0)
    fit = fit_growth(found)
    fitted = None
    if fit is not None and fit.frame_bytes > 0:
        fitted = max(0, int((max_bytes - fit.fixed_bytes) // fit.frame_bytes))
    at_limit = any(row["length"] > frames for row in rows)
    return Longest(max_bytes, frames, found.get(frames, 0), fitted, at_limit)


def _longest_note(rows: Sequence[Mapping[str, Any]], max_bytes: float) -> str:
    best = longest(rows, max_bytes)
    note = f"Within {_gigabytes(max_bytes)} GB: "
    if best.frames:
        note += f"{best.frames:,} frames measured ({_gigabytes(best.peak_bytes)} GB"
        note += ")" if best.at_limit else "; nothing longer was tried)"
    else:
        note += "none of the measured lengths"
    if best.fitted_frames is not None:
        note += f"; the fitted line reaches {best.fitted_frames:,} frames"
    return f"{note}."


def fit_growth(peaks: Mapping[int, int]) -> Fit | None:
    """Fits a power law and a line by relative least squares, from `FIT_FROM` on.

    Returns:
      None for fewer than two such lengths.
    """
    lengths = np.array([n for n in peaks if n >= FIT_FROM], float)
    if len(lengths) < 2:
        return None
    values = np.array([peaks[int(n)] for n in lengths], float)
    exponent = np.polyfit(np.log(lengths), np.log(values), 1)[0]
    slope, fixed = np.polyfit(lengths, values, 1, w=1 / values)
    return Fit(float(exponent), float(fixed), float(slope))


def ratios(peaks: Mapping[int, int]) -> dict[int, float]:
    """Peak of each length over that of its half, where both were measured."""
    return {
        n: peaks[n] / peaks[n // 2] for n in peaks if n % 2 == 0 and n // 2 in peaks
    }


def peak(row: Mapping[str, Any]) -> int | None:
    """What the curve is made of: the allocator's peak on a GPU, else the compiled."""
    return row["compiled_bytes" if row["platform"] == "cpu" else "allocated_bytes"]


def table(
    rows: Sequence[Mapping[str, Any]],
    config: Config,
    max_ratio: float,
    max_bytes: float | None = None,
) -> Table:
    """Makes the table of all lengths, its notes and the verdict."""
    cpu = rows[0]["platform"] == "cpu"
    found = peaks(rows)
    growth = ratios(found)
    cells = []
    for row in rows:
        n, total = row["length"], peak(row)
        scratch = not cpu and total is not None and total <= row["compilation_bytes"]
        cells.append(
            (
                f"{n:,}",
                f"{n / config.data.window.frame_hz:.2f}",
                *(_gigabytes(row[f"{k}_bytes"]) for k in ("state", "input")),
                _gigabytes(row["temporary_bytes"]),
                *([] if cpu else [_gigabytes(row["compiled_bytes"])]),
                "out of memory" if total is None else f"{total:,}{'*' * scratch}",
                f"{growth[n]:.3f}" if n in growth else ABSENT,
                *([] if cpu else [_milliseconds(row), f"{row['compile_seconds']:.0f}"]),
            )
        )
    fit = fit_growth(found)
    notes = [f"{_setting(rows[0], config)}.", CPU_NOTE if cpu else GPU_NOTE]
    if fit is not None:
        notes.append(
            f"From {FIT_FROM} frames on the peak grows as length^{fit.exponent:.3f}; "
            f"as a line, {_gigabytes(fit.fixed_bytes)} GB + "
            f"{fit.frame_bytes / 1e6:.4g} MB per frame."
        )
    notes.append(verdict(growth, max_ratio)[1])
    if max_bytes is not None:
        notes.append(_longest_note(rows, max_bytes))
    columns = ("frames", "seconds", "state GB", "input GB", "temporaries GB")
    columns += () if cpu else ("compiled GB",)
    return Table(
        title="Memory of one training step",
        columns=(*columns, "peak bytes", "peak / half the length",
                 *(() if cpu else ("ms / step", "compile s"))),
        rows=tuple(cells),
        notes=tuple(notes),
    )  # fmt: skip


def verdict(growth: Mapping[int, float], max_ratio: float) -> tuple[bool, str]:
    """Says whether every doubling from `FIT_FROM` on stays within `max_ratio`."""
    judged = {n: ratio for n, ratio in growth.items() if n >= 2 * FIT_FROM}
    if not judged:
        return True, f"No doubling from {FIT_FROM} frames on was measured."
    worst = max(judged, key=judged.__getitem__)
    ok = judged[worst] <= max_ratio
    return ok, (
        f"{'Linear' if ok else 'NOT linear'}: the largest of {len(judged)} doublings "
        f"from {FIT_FROM} frames on is {judged[worst]:.3f} (to {worst:,} frames); at "
        f"most {max_ratio:g} is allowed."
    )


def _setting(row: Mapping[str, Any], config: Config) -> str:
    remat = "with" if config.model.remat else "without"
    return (
        f"{config.name}, {config.train.batch_size} windows of "
        f"{config.data.participants} people in one pass, {config.model.compute_dtype}, "
        f"{remat} remat; {row['device']} ({os.cpu_count()} cores, "
        f"{platform.machine()}), jax {row['jax']}, Python {row['python']}, "
        f"{datetime.date.today()}"
    )


def peaks(rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Peak by length, without the lengths that did not fit into memory."""
    return {row["length"]: peak(row) for row in rows if peak(row) is not None}


def _milliseconds(row: Mapping[str, Any]) -> str:
    return ABSENT if row["step_ms"] is None else f"{row['step_ms']:.4g}"


def _gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.4g}"


def draw(
    path: Path, rows: Sequence[Mapping[str, Any]], config: Config, max_ratio: float
) -> None:
    """Draws the curve with its fit, and the growth at each doubling."""
    figure = Figure(figsize=(10.6, 4.9), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    _draw_curve(left, rows)
    _draw_ratios(right, ratios(peaks(rows)), max_ratio)
    row = rows[0]
    figure.suptitle(
        f"Memory of one training step · {config.name}, batch "
        f"{config.train.batch_size}",
        fontsize=13, color=INK,
    )  # fmt: skip
    note = "compiled for a CPU: for slopes only, two to four times a GPU's bytes"
    if row["platform"] != "cpu":
        note = f"allocator's peak on {row['device']}"
    figure.supxlabel(f"{note} · jax {row['jax']}", fontsize=9, color=QUIET)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, dpi=150, format="png")
    partial.replace(path)


def _draw_curve(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    found = peaks(rows)
    lengths, measured = np.array(list(found), float), [r["length"] for r in rows]
    fit = fit_growth(found)
    if fit is not None:
        span = np.geomspace(FIT_FROM, lengths.max())
        line = (fit.fixed_bytes + fit.frame_bytes * span) / 1e9
        axes.plot(span, line, color=FITTED, lw=7, alpha=0.55, solid_capstyle="round",
                  label=f"straight line (exponent {fit.exponent:.3f})")  # fmt: skip
        square = line[0] * (span / span[0]) ** 2
        axes.plot(span, square, color=LIMIT, lw=1, ls=(0, (1, 2)),
                  label="were it quadratic")  # fmt: skip
    if rows[0]["platform"] != "cpu":
        compiled = [r["compiled_bytes"] / 1e9 for r in rows]
        axes.plot(measured, compiled, color=COMPILED, lw=1.2, marker="s", ms=4,
                  label="compiled analysis")  # fmt: skip
    axes.plot(lengths, [v / 1e9 for v in found.values()], color=PEAK, lw=1.5,
              marker="o", ms=6.5, mec="white", mew=1, label="peak", zorder=3,
              )  # fmt: skip
    axes.plot(measured, [r["input_bytes"] / 1e9 for r in rows], color=INPUT, lw=1.5,
              ls="-.", label="of it: input")  # fmt: skip
    state = rows[0]["state_bytes"] / 1e9
    axes.axhline(state, color=QUIET, lw=1.2, ls="--", label="parameters, AdamW, EMA")
    axes.set(xscale="log", yscale="log", xlabel="frames of a window", ylabel="GB")
    axes.set_xticks(measured, [str(n) for n in measured])
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:,g}"))
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(-0.02, 1),
                ncols=2, columnspacing=1.4, handlelength=2.2)  # fmt: skip
    _tidy(axes)
    axes.tick_params(axis="x", labelrotation=45)


def _draw_ratios(axes: Axes, growth: Mapping[int, float], max_ratio: float) -> None:
    """A dot per doubling; 1 is no growth, 2 is linear, 4 is quadratic."""
    for at, value in enumerate(growth.values()):
        axes.plot([1, value], [at, at], color=COMPILED, lw=2, zorder=1)
        axes.plot(value, at, color=PEAK, marker="o", ms=8, mec="white", mew=1)
        axes.annotate(f"{value:.2f}", (value, at), xytext=(-5, 5), ha="right",
                      textcoords="offset points", color=INK, fontsize=9)  # fmt: skip
    axes.axvline(2, color=QUIET, lw=1, ls=":", zorder=0)
    axes.axvline(max_ratio, color=LIMIT, lw=1.4, ls="--", zorder=0)
    axes.annotate(f"at most {max_ratio:g}", (max_ratio, 1.0),
                  xycoords=("data", "axes fraction"), xytext=(0, 4), va="bottom",
                  ha="center", textcoords="offset points", color=LIMIT,
                  fontsize=9)  # fmt: skip
    axes.set_yticks(range(len(growth)), [f"{n // 2} to {n}" for n in growth])
    axes.set(xlabel="growth when the length doubles (linear: 2)",
             xlim=(1, max([max_ratio, *growth.values()]) + 0.12),
             ylim=(max(len(growth), 5) - 0.5, -0.7))  # fmt: skip
    _tidy(axes)
    axes.grid(False)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors="#333333", labelsize=9, length=3)
    axes.tick_params(which="minor", length=0, labelbottom=False)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
