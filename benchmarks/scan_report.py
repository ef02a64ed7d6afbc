"""Tables and the picture of `scan_speed.py`.

A row is a dict with `shape`, `dtype`, `by`; a measured one has `run`, `ms` and what was
measured besides, any other one a `note`.
"""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of a backend)
import peer_times  # noqa: E402
import scan_limits  # noqa: E402

from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS  # noqa: E402
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.table import Table  # noqa: E402

PEER = "mamba_ssm"
COLUMNS = (
    "by", "run", "ms", "x reference", "x peer", "GB/s", "Gexp/s", "of limit",
    "peak GB", "kept", "error", "compile s",
)  # fmt: skip
LABELS = {"forward": "fwd", "forward_backward": "fwd+bwd"}


def heading(setting):
    rate = setting["exponentials_per_second"]
    units = f"{rate:.3g} exponentials/s" if rate else "rate of exponentials unknown"
    return (
        f"{setting['date']}, {setting['device']} ({setting['host']}), jax "
        f"{setting['jax']}, Python {setting['python']}; copy "
        f"{setting['copy_bytes_per_second'] / 1e9:.0f} GB/s read + written, {units}"
    )


def remark(row):
    """Says why a row has no time."""
    keys = ("shape", "dtype", "by", "run")
    return f"{' '.join(row[k] for k in keys if k in row)}: {row['note']}"


def milliseconds(rows, shape, dtype):
    """Times of one shape by (implementation, run)."""
    return {
        (row["by"], row["run"]): row["ms"]
        for row in rows
        if "ms" in row and (row["shape"], row["dtype"]) == (shape, dtype)
    }


def table(rows, shape, dtype, limits, device):
    """Makes the table of one shape.

    "x reference" and "x peer" say how many times faster than these a row is; the peer
    is mamba_ssm in the same run, or else its time on record for the same device.
    """
    spec, times = ARG_SPECS[shape], milliseconds(rows, shape, dtype)
    state_bytes = 4 * scan_limits.elements(spec) * spec.states
    recorded, cells = False, []
    for row in rows:
        if (row.get("shape"), row.get("dtype")) != (shape, dtype) or "ms" not in row:
            continue
        run, seconds = row["run"], row["ms"] / 1e3
        peer = times.get((PEER, run))
        if peer is None:
            peer = peer_times.peer_milliseconds(shape, dtype, run, device)
            recorded = recorded or peer is not None
        least = limits.seconds(spec, dtype=dtype, run=run)
        moved = scan_limits.minimal_bytes(spec, dtype=dtype, run=run)
        kept = row.get("kept_bytes")
        cells.append(
            (
                row["by"],
                LABELS[run],
                f"{row['ms']:.4g}",
                _ratio(times.get(("reference", run)), row["ms"]),
                _ratio(peer, row["ms"]),
                f"{moved / seconds / 1e9:.4g}",
                f"{scan_limits.exponentials(spec, run=run) / seconds / 1e9:.4g}",
                ABSENT if least is None else f"{least / seconds:.1%}",
                _optional(row.get("peak_bytes"), lambda v: f"{v / 1e9:.3g}"),
                _optional(kept, lambda v: f"{v / state_bytes:.3f}"),
                _optional(row.get("error"), "{:.1e}".format),
                _optional(row.get("compile_s"), "{:.1f}".format),
            )
        )
    notes = ["kept: between the passes, without inputs and output, in units of the "
             "float32 states [B, L, D, N]."]  # fmt: skip
    if recorded:
        notes.append(
            f"x peer: to times on record ({peer_times.SOURCE}), not measured in this "
            "run."
        )
    partial = {tuple(r["gated_on"]) for r in rows if r.get("shape") == shape
               and r.get("gated_on")} - {(spec.batch, spec.length)}  # fmt: skip
    if partial:
        notes.append(f"checked on (rows, steps) {sorted(partial)} only, for memory.")
    return Table(
        title=f"{shape} (B {spec.batch}, L {spec.length}, D {spec.dim}, N "
        f"{spec.states}), {dtype}",
        columns=COLUMNS, rows=tuple(cells), notes=tuple(notes),
    )  # fmt: skip


def _ratio(baseline, ms):
    return f"{baseline / ms:.2f}" if baseline else ABSENT


def _optional(value, write):
    return ABSENT if value is None else write(value)


def draw(rows, path):
    """Draws times as bars, one panel for each dtype and run."""
    measured = [row for row in rows if "ms" in row]
    dtypes = list(dict.fromkeys(row["dtype"] for row in measured)) or ["float32"]
    shapes = list(dict.fromkeys(row["shape"] for row in measured))
    names = list(dict.fromkeys(row["by"] for row in measured))
    figure, axes = plt.subplots(
        len(dtypes), 2, figsize=(13, 4 * len(dtypes)), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    width = 0.8 / max(len(names), 1)
    for panels, dtype in zip(axes, dtypes, strict=True):
        for axis, (run, label) in zip(panels, LABELS.items(), strict=True):
            for i, by in enumerate(names):
                times = {
                    row["shape"]: row["ms"]
                    for row in measured
                    if (row["by"], row["dtype"], row["run"]) == (by, dtype, run)
                }
                at = [j + width * (i - len(names) / 2 + 0.5)
                      for j, shape in enumerate(shapes) if shape in times]  # fmt: skip
                axis.bar(at, list(times.values()), width=width, label=by)
            axis.set(title=f"{label}, {dtype}", ylabel="ms")
            if measured:
                axis.set_yscale("log")
            axis.set_xticks(range(len(shapes)), shapes, rotation=20)
    if measured:
        axes[0][0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
