"""The table of `memory_curve`: growth of the peaks, verdict and longest window."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from damamba_jax.config.sections import Config
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.table import Table

# Fits start at this number of frames. In shorter windows, most memory does not depend
# on the length.
FIT_FROM = 256
CPU_NOTE = (
    "The steps were compiled for a CPU and never run. They take two to four times the "
    "memory that they take on a GPU. These bytes are for slopes only: do not compare "
    "them with published gigabytes."
)
GPU_NOTE = (
    "The peak is that of the GPU's allocator over three steps, in one process for each "
    "length. In a row marked * it may come from compilation and not from a step."
)
EXPONENT_NOTE = (
    f"exponent: the exponent of the power law through a system's peaks from {FIT_FROM} "
    "frames on; 1 is linear, 2 is quadratic."
)
NAMES = {"damamba": "DA-Mamba", "dat": "DAT", "baseline": "baseline"}


class Series(NamedTuple):
    """One system at all its lengths.

    Attributes:
      config: the configuration that was measured.
      rows: the answers of `measure.py`, one for each length. The last length may be one
        that did not fit into memory.
    """

    config: Config
    rows: Sequence[Mapping[str, Any]]

    @property
    def label(self) -> str:
        """The names of the system and of its configuration."""
        return f"{NAMES[self.config.model.system]}, {self.config.name}"

    @property
    def on_cpu(self) -> bool:
        """Whether the steps were only compiled for a CPU and never ran."""
        return self.rows[0]["platform"] == "cpu"

    @property
    def peaks(self) -> dict[int, int]:
        """The peak, in bytes, of each length that fitted into memory."""
        return peaks(self.rows)

    @property
    def is_judged(self) -> bool:
        """Whether linear growth is demanded. Only DA-Mamba claims to be linear."""
        return self.config.model.system == "damamba"


class Fit(NamedTuple):
    """Growth of the peak with the length.

    Attributes:
      exponent: the exponent of the power law through the points; 1 is linear.
      fixed_bytes, frame_bytes: the straight line through the points, as its bytes at
        length 0 and its bytes for each frame.
    """

    exponent: float
    fixed_bytes: float
    frame_bytes: float


class Longest(NamedTuple):
    """The longest window within a budget of memory.

    Attributes:
      max_bytes: the budget, in bytes.
      frames, peak_bytes: the length and the peak of the longest measured window within
        the budget; 0 if there is none.
      fitted_frames: the length at which the straight line reaches the budget; None
        without a line.
      at_limit: whether a longer window was measured and did not fit.
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
    note = f"Within {gigabytes(max_bytes)} GB: "
    if best.frames:
        note += f"{best.frames:,} frames measured ({gigabytes(best.peak_bytes)} GB"
        note += ")" if best.at_limit else "; nothing longer was tried)"
    else:
        note += "none of the measured lengths"
    if best.fitted_frames is not None:
        note += f"; the fitted line reaches {best.fitted_frames:,} frames"
    return f"{note}."


def fit_growth(peaks: Mapping[int, int]) -> Fit | None:
    """Fits a power law and a line to the peaks, by least squares of relative errors.

    Only lengths of at least `FIT_FROM` frames are used.

    Returns:
      The fit, or None for fewer than two such lengths.
    """
    lengths = np.array([n for n in peaks if n >= FIT_FROM], float)
    if len(lengths) < 2:
        return None
    values = np.array([peaks[int(n)] for n in lengths], float)
    exponent = np.polyfit(np.log(lengths), np.log(values), 1)[0]
    slope, fixed = np.polyfit(lengths, values, 1, w=1 / values)
    return Fit(float(exponent), float(fixed), float(slope))


def ratios(peaks: Mapping[int, int]) -> dict[int, float]:
    """Returns the peak of each length, divided by the peak of half the length.

    Lengths whose half was not measured are left out.
    """
    return {
        n: peaks[n] / peaks[n // 2] for n in peaks if n % 2 == 0 and n // 2 in peaks
    }


def peak(row: Mapping[str, Any]) -> int | None:
    """Returns the peak that the curve shows, or None if memory ran out.

    It is the allocator's peak on a GPU, and the compiler's figure on a CPU.
    """
    return row["compiled_bytes" if row["platform"] == "cpu" else "allocated_bytes"]


def table(
    series: Sequence[Series], max_ratio: float, max_bytes: float | None = None
) -> Table:
    """Makes the table of all systems and lengths, with notes and verdicts.

    Args:
      series: the systems.
      max_ratio: the largest allowed growth of a peak when the length doubles.
      max_bytes: the budget of a search for the longest window, if there is one.
    """
    cpu = series[0].on_cpu
    columns = ("system", "parameters", "frames", "state GB", "input GB",
               "temporaries GB", *(() if cpu else ("compiled GB",)), "peak bytes",
               "peak / half the length", "exponent",
               *(() if cpu else ("ms / step", "compile s")))  # fmt: skip
    notes = [CPU_NOTE if cpu else GPU_NOTE, EXPONENT_NOTE]
    for one in series:
        notes += [f"{one.label}: {note}" for note in _notes(one, max_ratio, max_bytes)]
    return Table(
        title="Memory of one training step",
        columns=columns,
        rows=tuple(cells for one in series for cells in _cells(one)),
        notes=tuple(notes),
    )


def _cells(one: Series) -> Iterator[tuple[str, ...]]:
    growth, fit = ratios(one.peaks), fit_growth(one.peaks)
    for row in one.rows:
        n, total = row["length"], peak(row)
        cells = [one.label, f"{row['parameters'] / 1e6:.2f} M", f"{n:,}"]
        cells += [gigabytes(row[f"{k}_bytes"]) for k in ("state", "input")]
        cells.append(gigabytes(row["temporary_bytes"]))
        if not one.on_cpu:
            cells.append(gigabytes(row["compiled_bytes"]))
        if total is None:
            cells.append("out of memory")
        else:
            scratch = not one.on_cpu and total <= row["compilation_bytes"]
            cells.append(f"{total:,}{'*' * scratch}")
        cells.append(f"{growth[n]:.3f}" if n in growth else ABSENT)
        cells.append(ABSENT if fit is None else f"{fit.exponent:.3f}")
        if not one.on_cpu:
            cells += [_milliseconds(row), f"{row['compile_seconds']:.0f}"]
        yield tuple(cells)


def _notes(one: Series, max_ratio: float, max_bytes: float | None) -> Iterator[str]:
    yield f"{_setting(one.config)}; {made_by(one.rows)}."
    fit = fit_growth(one.peaks)
    if fit is not None:
        yield (
            f"From {FIT_FROM} frames on the peak grows as length^{fit.exponent:.3f}; "
            f"the fitted line is {gigabytes(fit.fixed_bytes)} GB + "
            f"{fit.frame_bytes / 1e6:.4g} MB per frame."
        )
    if one.is_judged:
        yield verdict(ratios(one.peaks), max_ratio)[1]
    if max_bytes is not None:
        yield _longest_note(one.rows, max_bytes)


def verdict(growth: Mapping[int, float], max_ratio: float) -> tuple[bool, str]:
    """Says whether every doubling from `FIT_FROM` on stays within `max_ratio`."""
    judged = {n: ratio for n, ratio in growth.items() if n >= 2 * FIT_FROM}
    if not judged:
        return True, f"No doubling from {FIT_FROM} frames on was measured."
    worst = max(judged, key=judged.__getitem__)
    ok = judged[worst] <= max_ratio
    return ok, (
        f"{'Linear' if ok else 'NOT linear'}: the largest growth in {len(judged)} "
        f"doublings from {FIT_FROM} frames on is {judged[worst]:.3f} (to {worst:,} "
        f"frames); at most {max_ratio:g} is allowed."
    )


def made_by(rows: Iterable[Mapping[str, Any]]) -> str:
    """Says which devices and software measured the rows, and when.

    Kept rows may come from several machines.
    """
    found = {
        f"{row['device']}, jax {row['jax']}, Python {row['python']}, {row['date']}"
        for row in rows
    }
    return "; ".join(sorted(found))


def _setting(config: Config) -> str:
    # The baseline has no rematerialisation.
    remat = "with" if getattr(config.model, "remat", False) else "without"
    return (
        f"{config.train.batch_size} windows at {config.data.window.frame_hz:g} Hz of "
        f"{config.data.participants} people in one pass, {config.model.compute_dtype}, "
        f"{remat} remat; {os.cpu_count()} cores, {platform.machine()}"
    )


def peaks(rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Returns the peak of each length that fitted into memory."""
    found = {row["length"]: peak(row) for row in rows}
    return {length: size for length, size in found.items() if size is not None}


def _milliseconds(row: Mapping[str, Any]) -> str:
    return ABSENT if row["step_ms"] is None else f"{row['step_ms']:.4g}"


def gigabytes(num_bytes: float) -> str:
    """Writes bytes as GB with four digits."""
    return f"{num_bytes / 1e9:.4g}"
