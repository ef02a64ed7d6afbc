"""Tables and the picture of `speed`.

A row is a dict with `shape`, `dtype` and `by`. A measured row also has `run`, `ms` and
the other measurements. Every other row has a `note`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.scan import limits, peer_times
from benchmarks.scan.limits import Limits
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS
from damamba_jax.reporting.figure import make_figure, save, styled
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.table import Table

PEER = "mamba_ssm"
COLUMNS = (
    "by", "run", "ms", "x reference", "x peer", "GB/s", "Gexp/s", "of limit",
    "peak GB", "kept", "error", "compile s",
)  # fmt: skip
LABELS = {"forward": "fwd", "forward_backward": "fwd+bwd"}


Row = Mapping[str, Any]


def heading(setting: Mapping[str, Any]) -> str:
    """Names the device and the software of the measurement, and the device's rates."""
    rate = setting["exponentials_per_second"]
    units = f"{rate:.3g} exponentials/s" if rate else "rate of exponentials unknown"
    return (
        f"{setting['date']}, {setting['device']} ({setting['host']}), jax "
        f"{setting['jax']}, Python {setting['python']}; copy "
        f"{setting['copy_bytes_per_second'] / 1e9:.0f} GB/s read + written, {units}"
    )


def remark(row: Row) -> str:
    """Says why a row has no time."""
    keys = ("shape", "dtype", "by", "run")
    return f"{' '.join(row[k] for k in keys if k in row)}: {row['note']}"


def table(
    rows: Sequence[Row], shape: str, dtype: str, rates: Limits, device: str
) -> Table:
    """Makes the table of one shape.

    "x reference" says how many times faster than the reference a row is, and "x peer"
    how many times faster than the peer. The peer is mamba_ssm in the same run. If that
    was not measured, it is the recorded time of mamba_ssm on the same device.

    Args:
      rows: the rows of all shapes.
      shape: the name of the shape.
      dtype: the type of the sequences.
      rates: the rates of the device, which limit the speed.
      device: the kind of the device.
    """
    spec = ARG_SPECS[shape]
    found = [
        row
        for row in rows
        if (row.get("shape"), row.get("dtype")) == (shape, dtype) and "ms" in row
    ]
    times = {(row["by"], row["run"]): row["ms"] for row in found}
    recorded = {
        run: peer_times.peer_milliseconds(shape, dtype, run, device)
        for run in LABELS
        if (PEER, run) not in times
    }
    cells = []
    for row in found:
        run = row["run"]
        peer = times.get((PEER, run), recorded.get(run))
        reference = times.get(("reference", run))
        ratios = (_ratio(reference, row["ms"]), _ratio(peer, row["ms"]))
        cells.append((*_name_and_time(row), *ratios, *_costs(row, rates)))
    shown = {recorded.get(row["run"]) for row in found} - {None}
    return Table(
        title=f"{shape} (B {spec.batch}, L {spec.length}, D {spec.dim}, N "
        f"{spec.states}), {dtype}",
        columns=COLUMNS,
        rows=tuple(cells),
        notes=tuple(_notes(rows, shape, recorded=bool(shown))),
    )


def _name_and_time(row: Row) -> tuple[str, ...]:
    return row["by"], LABELS[row["run"]], f"{row['ms']:.4g}"


def _costs(row: Row, rates: Limits) -> tuple[str, ...]:
    """Returns the cells of the columns from "GB/s" on."""
    spec, dtype, run = ARG_SPECS[row["shape"]], row["dtype"], row["run"]
    seconds = row["ms"] / 1e3
    least = rates.seconds(spec, dtype=dtype, run=run)
    moved = limits.minimal_bytes(spec, dtype=dtype, run=run)
    state_bytes = 4 * limits.elements(spec) * spec.states
    return (
        f"{moved / seconds / 1e9:.4g}",
        f"{limits.exponentials(spec, run=run) / seconds / 1e9:.4g}",
        ABSENT if least is None else f"{least / seconds:.1%}",
        _optional(row.get("peak_bytes"), lambda v: f"{v / 1e9:.3g}"),
        _optional(row.get("kept_bytes"), lambda v: f"{v / state_bytes:.3f}"),
        _optional(row.get("error"), "{:.1e}".format),
        _optional(row.get("compile_s"), "{:.1f}".format),
    )


def _notes(rows: Sequence[Row], shape: str, *, recorded: bool) -> Iterator[str]:
    yield (
        "kept: memory that is kept between the passes, without inputs and output, as a "
        "share of the float32 states [B, L, D, N]."
    )
    if recorded:
        yield (
            f"x peer: compared with recorded times ({peer_times.SOURCE}), which were "
            "not measured in this run."
        )
    spec = ARG_SPECS[shape]
    gates = [row.get("gated_on") for row in rows if row.get("shape") == shape]
    partial = {tuple(gate) for gate in gates if gate} - {(spec.batch, spec.length)}
    if partial:
        yield (
            f"checked only on (rows, steps) {sorted(partial)}, because the whole shape "
            "takes too much memory."
        )


def _ratio(baseline: float | None, ms: float) -> str:
    return f"{baseline / ms:.2f}" if baseline else ABSENT


def _optional(value: float | None, write: Callable[[float], str]) -> str:
    return ABSENT if value is None else write(value)


@styled
def draw(rows: Sequence[Row], path: Path) -> None:
    """Draws times as bars, one panel for each dtype and run."""
    measured = [row for row in rows if "ms" in row]
    dtypes = list(dict.fromkeys(row["dtype"] for row in measured)) or ["float32"]
    figure = make_figure(13.0, 4.0 * len(dtypes))
    axes = figure.subplots(len(dtypes), len(LABELS), squeeze=False)
    for panels, dtype in zip(axes, dtypes, strict=True):
        for panel, (run, label) in zip(panels, LABELS.items(), strict=True):
            _draw_panel(panel, measured, dtype, run)
            panel.set(title=f"{label}, {dtype}", ylabel="ms")
    if measured:
        axes[0][0].legend(fontsize=8)
    save(figure, path)


def _draw_panel(axes: Axes, measured: Sequence[Row], dtype: str, run: str) -> None:
    """Draws a bar for each shape and implementation."""
    shapes = list(dict.fromkeys(row["shape"] for row in measured))
    names = list(dict.fromkeys(row["by"] for row in measured))
    width = 0.8 / max(len(names), 1)
    for i, by in enumerate(names):
        times = {
            row["shape"]: row["ms"]
            for row in measured
            if (row["by"], row["dtype"], row["run"]) == (by, dtype, run)
        }
        at = [j + width * (i - len(names) / 2 + 0.5)
              for j, shape in enumerate(shapes) if shape in times]  # fmt: skip
        axes.bar(at, list(times.values()), width=width, label=by)
    if measured:
        axes.set_yscale("log")
    axes.set_xticks(range(len(shapes)), shapes, rotation=20)
