"""The table and the picture of `variants`."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.step.memory_table import gigabytes, made_by
from damamba_jax.config.sections import Config
from damamba_jax.reporting.figure import QUIET, make_figure, save, styled
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.table import Table

COLUMNS = ("scan", "precision", "remat", "frames", "ms / step", "windows / s",
           "peak GB", "compiled GB", "compile s")  # fmt: skip


def measured(row: Mapping[str, Any]) -> bool:
    """Says whether a row has a time."""
    return row.get("step_ms") is not None


def windows_per_second(row: Mapping[str, Any]) -> float:
    """Computes the speed of a row that has a time."""
    return 1e3 * row["batch_size"] / row["step_ms"]


def table(rows: Sequence[Mapping[str, Any]], config: Config) -> Table:
    """Makes the table of all variants. Notes say why a row has no time."""
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
                _optional_gigabytes(row.get("allocated_bytes")),
                _optional_gigabytes(row.get("compiled_bytes")),
                f"{row['compile_seconds']:.0f}" if "compile_seconds" in row else ABSENT,
            )
        )
    notes += _setting(rows, config)
    notes.append(
        "peak: the peak of the GPU's allocator over three steps, with parameters, "
        "optimizer, moving average and input; compiled: the memory that XLA reports."
    )
    return Table(
        title="One training step", columns=COLUMNS, rows=tuple(cells),
        notes=tuple(notes),
    )  # fmt: skip


def _optional_gigabytes(num_bytes: float | None) -> str:
    return ABSENT if num_bytes is None else gigabytes(num_bytes)


def _setting(rows: Sequence[Mapping[str, Any]], config: Config) -> list[str]:
    """Names the configuration and the machine; empty if no row names a device."""
    known = [row for row in rows if "device" in row]
    if not known:
        return []
    return [
        f"{config.name}, {config.train.batch_size} windows of "
        f"{config.data.participants} people; {os.cpu_count()} cores, "
        f"{platform.machine()}; {made_by(known)}."
    ]


@styled
def draw(path: Path, rows: Sequence[Mapping[str, Any]], config: Config) -> None:
    """Draws milliseconds and gigabytes as bars, one for each measured variant."""
    shown = [row for row in rows if measured(row)]
    names = [
        f"{row['scan']}, {row['precision']}\n{row['length']:,} frames, remat "
        f"{'on' if row['remat'] else 'off'}"
        for row in shown
    ]
    figure = make_figure(11.0, 1.8 + 0.6 * len(shown))
    left, right = figure.subplots(1, 2, sharey=True)
    # The allocator of a CPU does not count bytes.
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
    figure.supxlabel("".join(_setting(shown, config)), fontsize=8, color=QUIET)
    figure.suptitle("One training step")
    save(figure, path)
