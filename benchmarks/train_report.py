"""The table and the picture of `train_step.py`."""

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from damamba_jax.config.sections import Config
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.table import Table

COLUMNS = ("scan", "precision", "remat", "frames", "ms / step", "windows / s",
           "peak GB", "compiled GB", "compile s")  # fmt: skip


def measured(row: Mapping[str, Any]) -> bool:
    return row.get("step_ms") is not None


def windows_per_second(row: Mapping[str, Any]) -> float:
    return 1e3 * row["batch_size"] / row["step_ms"]


def table(rows: Sequence[Mapping[str, Any]], config: Config) -> Table:
    """Makes the table of all variants; what has no time says why below."""
    cells, notes = [], []
    for row in rows:
        name = (row["scan"], row["precision"], "on" if row["remat"] else "off",
                f"{row['length']:,}")  # fmt: skip
        if "note" in row:
            notes.append(f"{' '.join(name[:2])}, remat {name[2]}, {name[3]} frames: "
                         f"{row['note']}")  # fmt: skip
        cells.append(
            (
                *name,
                f"{row['step_ms']:.4g}" if measured(row) else ABSENT,
                f"{windows_per_second(row):.4g}" if measured(row) else ABSENT,
                _gigabytes(row.get("allocated_bytes")),
                _gigabytes(row.get("compiled_bytes")),
                f"{row['compile_seconds']:.0f}" if "compile_seconds" in row else ABSENT,
            )
        )
    notes += [setting(row, config) for row in rows if "device" in row][:1]
    notes.append(
        "peak: of the GPU's allocator over three steps, parameters, optimizer, moving "
        "average and input included; compiled: XLA's own account."
    )
    return Table(
        title="One training step", columns=COLUMNS, rows=tuple(cells),
        notes=tuple(notes),
    )  # fmt: skip


def _gigabytes(num_bytes: float | None) -> str:
    return ABSENT if num_bytes is None else f"{num_bytes / 1e9:.4g}"


def setting(row: Mapping[str, Any], config: Config) -> str:
    return (
        f"{config.name}, {row['batch_size']} windows of {config.data.participants} "
        f"people; {row['device']} ({os.cpu_count()} cores, {platform.machine()}), jax "
        f"{row['jax']}, Python {row['python']}, {datetime.date.today()}."
    )


def draw(path: Path, rows: Sequence[Mapping[str, Any]], config: Config) -> None:
    """Draws milliseconds and gigabytes as bars, one for each measured variant."""
    shown = [row for row in rows if measured(row)]
    names = [
        f"{row['scan']}, {row['precision']}\n{row['length']:,} frames, remat "
        f"{'on' if row['remat'] else 'off'}"
        for row in shown
    ]
    figure = Figure(figsize=(11, 1.8 + 0.6 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    # A CPU has no allocator that counts.
    peaks = [row["allocated_bytes"] or row["compiled_bytes"] for row in shown]
    label = "peak GB"
    if any(row["allocated_bytes"] is None for row in shown):
        label = "compiled GB, for a CPU"
    for axes, values, text, color in (
        (left, [row["step_ms"] for row in shown], "ms / step", "#0072b2"),
        (right, [value / 1e9 for value in peaks], label, "#e69f00"),
    ):
        bars = axes.barh(range(len(shown)), values, color=color)
        axes.bar_label(bars, fmt="%.4g", padding=3, fontsize=9)
        axes.set(xlabel=text)
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_yticks(range(len(shown)), names)
    left.invert_yaxis()
    if shown:
        figure.supxlabel(setting(shown[0], config), fontsize=8, color="#6b6b6b")
    figure.suptitle("One training step")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, dpi=150, format="png")
    partial.replace(path)
