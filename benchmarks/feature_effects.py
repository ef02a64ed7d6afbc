"""What each setting does to the score: on against off, same seeds, simulated corpus.

    python benchmarks/feature_effects.py [--effects=NAME,NAME] [--seeds=0,1,2,3,4]
        [--jobs=N] [--out=DIR] [--config.FIELD=VALUE ...]
    python benchmarks/feature_effects.py --preset=small --seeds=0,1,2     # two cores

Every effect is a change of `configs/noxi.py:demo`. Each (effect, seed) is one training
run; smoothing is another evaluation of the default's runs, and so is their ensemble, of
all seeds. A run that has finished is not repeated, and one that was interrupted goes on
where it stopped: the same command resumes, and more seeds or effects can be added to
the same folder. Prints the table and writes it with all numbers and a picture.

The difference to the default is paired: the runs of one seed start from the same draws
and see the same windows in the same order. Its standard error is over seeds; all of
them are scored on the same sessions.

Cost: a run is that of the demo, see the README; the whole table is 9 x 5 of them. With
`--preset=small` the model reads one feature of each group, whose cues the others
repeat, and a run costs half as much (there, dropping a feature drops its group). On a
GPU, where compilation takes longest, `--jobs` starts several runs at a time; their
milliseconds per step mean little then.
`--config.FIELD=VALUE` changes all runs, the default included.
"""

import argparse
import datetime
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from damamba_jax.report import ABSENT, Table

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "configs/noxi.py:demo"
# Flags of every run.
PRESETS = {
    "demo": (),
    "small": ("--config.data.features=w2vbert2,clip", "--config.model.state_dim=4"),
}
DEFAULT = "default"
SPLIT, SHIFTED = "noxi/test-base", "noxi/test-additional"
# Changed fields by the name of the row.
EFFECTS: dict[str, dict[str, object]] = {
    DEFAULT: {},
    "forward": {"model.direction": "forward"},
    "mamba2": {"model.ssm": "mamba2"},
    "modality-dropout": {"model.modality_dropout": 0.15},
    "feature-dropout": {"model.feature_dropout": 0.1},
    "session-statistics": {"data.normalization": "session"},
    "ccc-window": {"optim.loss": "ccc-window"},
    "center-weights": {"optim.center_sigma": 0.3},
    "context-frames": {"optim.context_weight": 0.3},
}
# Evaluations of the default's runs; the times are examples, nothing was tuned.
SMOOTHINGS = {
    "exponential-0.5s": "exponential:0.5",
    "gaussian-0.5s": "gaussian:0.5",
    "gaussian-2s": "gaussian:2",
}
# The mean of the predictions of all the default's seeds; joins them in its cell's name.
ENSEMBLE, AND = "ensemble", "+"
# Rows whose model knows more than the window that the oracle sees.
BEYOND_WINDOW = ("session-statistics", *SMOOTHINGS)


class Cell(NamedTuple):
    """One run, scored.

    Attributes:
      ccc, share: on the test split; the share is of the oracle's CCC.
      shifted_ccc: on the split of another domain.
      ms_per_step: of training, median over the run; None for an evaluation.
      seconds: that the command took; of its last part, if it was interrupted.
    """

    ccc: float
    share: float
    shifted_ccc: float
    ms_per_step: float | None
    seconds: float


class Row(NamedTuple):
    """One effect over all seeds; differences are to the default of the same seed."""

    name: str
    ccc: float
    share: float
    shifted_ccc: float
    difference: float
    standard_error: float | None
    ms_per_step: float | None
    num_seeds: int


def stored(out: Path, name: str, seed: int | str, common: Sequence[str]) -> Cell | None:
    """Reads the cell of an effect and a seed, if it is on disk.

    Args:
      out: folder of all cells.
      name: of `EFFECTS` or `SMOOTHINGS`, or `ENSEMBLE`.
      seed: of the run; of an ensemble all of them.
      common: flags of every run.

    Raises:
      SystemExit: if it was made by other settings.
    """
    path = _cell_path(out, name, seed)
    if not path.is_file():
        return None
    tree = json.loads(path.read_text())
    if tree["settings"] != (settings := _settings(name, common)):
        raise SystemExit(
            f"{path}: expected a cell of {settings}, got {tree['settings']}. "
            f"Choose another folder: --out=DIR."
        )
    return Cell(**tree["cell"])


def measure(out: Path, name: str, seed: int | str, common: Sequence[str]) -> Cell:
    """Makes a cell and stores it; evaluations need the default's runs.

    Args: as of `stored`.

    Raises:
      SystemExit: if a command fails.
    """
    workdir = out / "runs" / f"{name}-{seed}"
    start = time.monotonic()
    if name not in EFFECTS:
        defaults = (out / "runs" / f"{DEFAULT}-{s}" for s in str(seed).split(AND))
        kind = f"--smoothing={SMOOTHINGS[name]}" if name in SMOOTHINGS else "--ensemble"
        command = [
            "damamba_jax.evaluate", *(f"--workdir={folder}" for folder in defaults),
            kind, f"--splits={SPLIT},{SHIFTED}", "--ridge=no", "--pictures=0",
            f"--out={workdir}",
        ]  # fmt: skip
    else:
        changes = (
            f"--config.{field}={value}" for field, value in EFFECTS[name].items()
        )
        command = [
            "damamba_jax.train", f"--config={CONFIG}", f"--config.seed={seed}",
            f"--config.name={name}", f"--config.data.cache_dir={out / 'cache'}",
            *common, *changes, f"--workdir={workdir}",
        ]  # fmt: skip
    run(command, workdir.with_name(f"{workdir.name}.log"), compiled=out / "compiled")
    cell = read_cell(workdir, time.monotonic() - start)
    path = _cell_path(out, name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    tree = {"settings": _settings(name, common), "cell": cell._asdict()}
    partial.write_text(json.dumps(tree))
    partial.replace(path)
    return cell


def _cell_path(out: Path, name: str, seed: int | str) -> Path:
    return out / "cells" / f"{name}-{seed}.json"


def _settings(name: str, common: Sequence[str]) -> dict[str, Any]:
    changes = {**EFFECTS, **SMOOTHINGS, ENSEMBLE: ENSEMBLE}[name]
    return {"changes": changes, "common": list(common)}


def run(command: Sequence[str], log: Path, *, compiled: Path) -> None:
    """Runs one of the package's commands, quietly.

    Args:
      command: module and flags.
      log: file to which its output is added.
      compiled: folder of compiled programs, which the seeds of an effect share.

    Raises:
      SystemExit: if it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with log.open("a") as file:
        status = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path,
                 "JAX_COMPILATION_CACHE_DIR": str(compiled),
                 # Several may share a GPU.
                 "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        ).returncode  # fmt: skip
    if status:
        raise SystemExit(f"{log}: {command[0]} ended with status {status}.")


def read_cell(workdir: Path, seconds: float) -> Cell:
    """Reads what a command left behind."""
    # Of an ensemble the last one; its members stand before it.
    *_, result = json.loads((workdir / "results.json").read_text())["results"]
    splits = {split["split"]: split for split in result["splits"]}
    timing = workdir / "timing.jsonl"
    lines = timing.read_text().splitlines() if timing.is_file() else []
    speeds = [json.loads(line).get("steps_per_second") for line in lines]
    times = [1000.0 / speed for speed in speeds if speed]
    return Cell(
        ccc=splits[SPLIT]["scores"]["ccc"],
        share=splits[SPLIT]["share_of_oracle"],
        shifted_ccc=splits[SHIFTED]["scores"]["ccc"],
        ms_per_step=statistics.median(times) if times else None,
        seconds=seconds,
    )


def summarize(cells: Mapping[tuple[str, int | str], Cell]) -> list[Row]:
    """One row per effect, from the seeds that it shares with the default.

    An ensemble is one cell: its difference is to the mean of its members, and has no
    standard error.
    """
    rows = []
    for name in dict.fromkeys(name for name, _ in cells):
        if name == ENSEMBLE:
            ((seeds, cell),) = ((s, cells[n, s]) for n, s in cells if n == name)
            found, seeds = [cell], list(map(int, seeds.split(AND)))
            gains = [cell.ccc - statistics.mean(cells[DEFAULT, s].ccc for s in seeds)]
        else:
            seeds = [s for n, s in cells if n == name and (DEFAULT, s) in cells]
            found = [cells[name, seed] for seed in seeds]
            gains = [cells[name, s].ccc - cells[DEFAULT, s].ccc for s in seeds]
        error = None
        if len(gains) > 1:
            error = statistics.stdev(gains) / math.sqrt(len(gains))
        times = [cell.ms_per_step for cell in found if cell.ms_per_step is not None]
        rows.append(
            Row(
                name,
                *(statistics.mean(getattr(cell, field) for cell in found)
                  for field in ("ccc", "share", "shifted_ccc")),
                difference=statistics.mean(gains),
                standard_error=error,
                ms_per_step=statistics.median(times) if times else None,
                num_seeds=len(seeds),
            )
        )  # fmt: skip
    return rows


def make_table(rows: Sequence[Row]) -> Table:
    """The rows as text."""

    def number(value: float | None, form: str) -> str:
        return ABSENT if value is None else format(value, form)

    return Table(
        title="Effects on the simulated corpus",
        columns=(
            "effect", "CCC", "share of oracle", "difference", "standard error",
            "CCC, shifted", "ms/step", "seeds",
        ),
        rows=tuple(
            (
                row.name, number(row.ccc, ".3f"),
                number(100 * row.share, ".1f") + " %"
                + ("*" if row.name in BEYOND_WINDOW else ""),
                ABSENT if row.name == DEFAULT else number(row.difference, "+.4f"),
                ABSENT if row.name == DEFAULT else number(row.standard_error, ".4f"),
                number(row.shifted_ccc, ".3f"), number(row.ms_per_step, ".0f"),
                str(row.num_seeds),
            )
            for row in rows
        ),
        notes=(
            f"Simulated: {SPLIT} of the drawn corpus; shifted is {SHIFTED}. The "
            "difference is to the default of the same seeds, of an ensemble to the "
            "mean of its members. *: the model knows more "
            "than the window that the oracle sees, which is then no ceiling; the "
            "forward model's oracle is the causal one.",
        ),
    )  # fmt: skip


def draw(rows: Sequence[Row], path: Path) -> None:
    """A dot per effect: its difference, with two standard errors to each side."""
    rows = [row for row in rows if row.name != DEFAULT]
    figure = Figure(figsize=(7, 1.2 + 0.35 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for at, row in enumerate(rows):
        error = 2 * (row.standard_error or 0.0)
        axes.errorbar(row.difference, at, xerr=error, color="#0072b2", marker="o",
                      capsize=3)  # fmt: skip
    axes.axvline(0, color="#6b6b6b", lw=1, ls="--")
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_xlabel("difference of CCC to the default, two standard errors")
    axes.set_title("simulated corpus", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*EFFECTS, *SMOOTHINGS, ENSEMBLE]
    parser.add_argument("--effects", default=",".join(known), help="names of rows")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--preset", default="demo", choices=PRESETS)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", default="runs/benchmarks/feature_effects")
    options, common = parser.parse_known_args(argv)
    if unknown := [flag for flag in common if not flag.startswith("--config.")]:
        parser.error(f"unknown flag {unknown[0]!r}")
    names = list(dict.fromkeys([DEFAULT, *options.effects.split(",")]))
    if unknown := [name for name in names if name not in known]:
        parser.error(f"--effects: unknown {unknown[0]!r}; known: {', '.join(known)}")
    out = Path(options.out).resolve()
    common = [*PRESETS[options.preset], *common]
    seeds = list(dict.fromkeys(map(int, options.seeds.split(","))))
    # Seed by seed: of an interrupted table, rows have as many runs, but for one.
    keys = [(n, s) for s in seeds for n in names if n != ENSEMBLE]
    if ENSEMBLE in names and len(seeds) > 1:
        keys.append((ENSEMBLE, AND.join(map(str, seeds))))
    cells = {key: stored(out, *key, common) for key in keys}

    def fill(key: tuple[str, int | str]) -> None:
        cells[key] = cell = measure(out, *key, common)
        name, seed = key
        print(f"{name}, seed {seed}: CCC {cell.ccc:.4f}, {cell.seconds:.0f} s, "
              f"load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip

    # Evaluations come last, of runs that are finished then.
    for part in (EFFECTS, (*SMOOTHINGS, ENSEMBLE)):
        missing = [key for key in cells if key[0] in part and cells[key] is None]
        with ThreadPoolExecutor(max(1, options.jobs)) as pool:
            list(pool.map(fill, missing))
    rows = summarize(cells)
    table = make_table(rows).to_markdown()
    print(f"\n{datetime.date.today()}, {os.cpu_count()} cores\n\n{table}")
    (out / "feature_effects.md").write_text(table)
    tree = {
        "rows": [row._asdict() for row in rows],
        "cells": [
            {"effect": name, "seed": seed, **cell._asdict()}
            for (name, seed), cell in cells.items()
        ],
    }
    (out / "feature_effects.json").write_text(json.dumps(tree, indent=2))
    draw(rows, out / "feature_effects.png")
    print(f"Written: simulated {out}/feature_effects.md, .json and .png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
