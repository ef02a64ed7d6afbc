"""What each setting does to the score: on against off, same seeds, simulated corpus.

    python benchmarks/feature_effects.py --jobs=12                      # a GPU
    python benchmarks/feature_effects.py --preset=small --seeds=0,1,2   # two cores
    python benchmarks/feature_effects.py --effects=mamba2,forward --seeds=0,1

Every effect is a change of `configs/noxi.py:demo`, trained with every seed. Smoothing
and the ensemble of all seeds are made of the default's predictions and train nothing.

Differences to the default are paired over seeds and sessions: runs of one seed start
from the same draws and see the same windows in the same order. The ensemble is one
model: it is compared with the mean of its members, over sessions alone.

The whole table is 9 x 5 runs of the demo: minutes on a GPU, with `--jobs`. With
`--preset=small` the model reads one feature of each group, whose cues the others
repeat, and a run costs a third as much (there, dropping a feature drops its group).

Each run has a workdir of its own under --out; the same command goes on where it was
interrupted, and seeds or effects can be added. Writes a table (Markdown), the same as
JSON, and a picture.
"""

import argparse
import dataclasses
import itertools
import logging
import math
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib import ticker
from ml_collections import ConfigDict
from rich.console import Console

from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.data.open import open_corpus
from damamba_jax.evaluation.results import TITLES
from damamba_jax.inference.ensemble import average_traces
from damamba_jax.inference.smoothing import parse_smoothing, smooth_traces
from damamba_jax.metrics.intervals import score
from damamba_jax.metrics.paired_gap import PairedGap, measure_gap
from damamba_jax.metrics.trace import Trace
from damamba_jax.reporting.figure import (
    PARTNERS,
    PREDICTION,
    QUIET,
    make_figure,
    save,
    set_title,
    tidy,
)
from damamba_jax.reporting.numbers import ABSENT, difference, spread
from damamba_jax.reporting.table import Table, write_table
from damamba_jax.runs.traces import read_traces
from damamba_jax.runtime.command import USER_ERRORS, parse_integers, show_log
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.studies.ablation_scores import read_scores
from damamba_jax.studies.runs import Run, keep_compiled, train_all

# Changed fields of all runs.
PRESETS: dict[str, dict[str, object]] = {
    "demo": {},
    "small": {"data.features": "w2vbert2,clip", "model.state_dim": 4},
}
DEFAULT = "default"
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
# Of the default's predictions; the times are examples, nothing was tuned.
SMOOTHINGS = {
    "exponential-0.5s": "exponential:0.5",
    "gaussian-0.5s": "gaussian:0.5",
    "gaussian-2s": "gaussian:2",
}
# The mean of the default's predictions over all seeds.
ENSEMBLE = "ensemble"
ROWS = (*EFFECTS, *SMOOTHINGS, ENSEMBLE)
# Rows whose model knows more than the window that the oracle sees.
BEYOND_WINDOW = ("session-statistics", *SMOOTHINGS)
# What is scored: the domain that was trained on, and one that was not.
SPLITS = ("noxi/test-base", "noxi/test-additional")
# Of the picture: differences up to here are drawn to scale, larger ones closer.
LINEAR_CCC = 0.05


class Row(NamedTuple):
    """One effect over all seeds.

    Attributes:
      ccc: by split, of every seed; of an ensemble one value.
      gain: by split, CCC above the default's; none of itself.
      share: by split, of the CCC of the oracle that sees the model's window.
    """

    name: str
    ccc: dict[str, list[float]]
    gain: dict[str, PairedGap]
    share: dict[str, float]


def configure(preset: str) -> ConfigDict:
    """Returns the default's configuration in a preset."""
    config = noxi.get_config("demo")
    config.update_from_flattened_dict(PRESETS[preset])
    config.name = f"effects-{preset}"
    return config


def make_runs(
    base: ConfigDict, effects: Sequence[str], seeds: Sequence[int], out: Path
) -> list[Run]:
    """Lists the runs effect by effect: in turn, its seeds share what was compiled."""
    runs = []
    for name, seed in itertools.product(effects, seeds):
        config = base.copy_and_resolve_references()
        config.update_from_flattened_dict(EFFECTS[name])
        config.seed, config.name = seed, f"{base.name}-{name}"
        runs.append(
            Run(
                title=f"{name}, seed {seed}",
                config=from_config_dict(config),
                folder=_folder(out, name, seed),
            )
        )
    return runs


def _folder(out: Path, name: str, seed: int) -> Path:
    return out / "runs" / f"{name}-{seed}"


def read_row(name: str, seeds: Sequence[int], out: Path) -> Row:
    """Scores one effect from what finished runs predicted."""
    folders = [
        _folder(out, name if name in EFFECTS else DEFAULT, seed) for seed in seeds
    ]
    scores = read_scores(folders[0])
    ccc, gain, share = {}, {}, {}
    for split in SPLITS:
        found = predictions(name, folders, split)
        ccc[split] = [score(t).ccc for t in found]
        share[split] = fmean(ccc[split]) / scores[split]["oracle"]["ccc"]
        if name != DEFAULT:
            defaults = [read_traces(_folder(out, DEFAULT, s), split) for s in seeds]
            if name == ENSEMBLE:
                found = found * len(seeds)
            gain[split] = measure_gap(found, defaults)
            if name == ENSEMBLE:
                # Other seeds would have made another ensemble: unknown.
                error = gain[split].session_error
                gain[split] = gain[split]._replace(
                    seed_error=None, standard_error=error
                )
    return Row(name, ccc, gain, share)


def predictions(name: str, folders: Sequence[Path], split: str) -> list[list[Trace]]:
    """Reads or makes a row's predictions, seed by seed; an ensemble has one."""
    found = [read_traces(folder, split) for folder in folders]
    if name in SMOOTHINGS:
        smoothing = parse_smoothing(SMOOTHINGS[name])
        return [smooth_traces(traces, smoothing) for traces in found]
    return [average_traces(found)] if name == ENSEMBLE else found


def make_table(rows: Sequence[Row], base: ConfigDict, seeds: Sequence[int]) -> Table:
    """Makes the table, one row per effect."""
    cells = []
    for row in rows:
        beyond = "*" * (row.name in BEYOND_WINDOW)
        scores = []
        for split in SPLITS:
            scores += [
                spread(row.ccc[split]), _gain(row.gain.get(split)),
                f"{100 * row.share[split]:.1f} %{beyond}",
            ]  # fmt: skip
        cells.append((row.name, *scores))
    return Table(
        title=f"Effects of settings, {base.name} (simulated)",
        columns=(
            "effect",
            *(
                column
                for split in SPLITS
                for column in (TITLES.get(split, split), "to default", "of the oracle")
            ),
        ),
        rows=tuple(cells),
        notes=(
            f"CCC: mean ± standard deviation over the seeds "
            f"{', '.join(map(str, seeds))}. To default: difference ± its standard "
            "error, paired over seeds and sessions; of the ensemble, to the mean of "
            "its members, over sessions alone.",
            "Of the oracle for the model's window, the causal one of a forward model; "
            "in the shifted domain, of the transfer oracle. *: the model knows more "
            "than this window, and the oracle is no ceiling.",
        ),
    )


def _gain(gap: PairedGap | None) -> str:
    return difference(gap.mean, gap.standard_error) if gap else ABSENT


def draw(path: Path, rows: Sequence[Row], base: ConfigDict) -> None:
    """Draws each difference to the default with two standard errors to each side."""
    rows = [row for row in rows if row.name != DEFAULT]
    figure = make_figure(8.0, 1.8 + 0.4 * len(rows))
    axes = figure.subplots()
    tidy(axes)
    axes.axvline(0, color=QUIET, linewidth=1)
    looks = ((PREDICTION, -0.12), (PARTNERS[0], 0.12))
    for split, (colour, shift) in zip(SPLITS, looks, strict=True):
        gains = [row.gain[split] for row in rows]
        axes.errorbar(
            [gain.mean for gain in gains], [i + shift for i in range(len(rows))],
            xerr=[
                math.nan if gain.standard_error is None else 2 * gain.standard_error
                for gain in gains
            ],
            fmt="o", color=colour, capsize=3, label=TITLES.get(split, split),
        )  # fmt: skip
    axes.set_xscale("symlog", linthresh=LINEAR_CCC, linscale=2)
    axes.set_xticks([-0.5, -0.05, -0.02, 0.0, 0.02, 0.05])
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:+g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(
        f"difference of CCC to the default, two standard errors; to scale up to "
        f"{LINEAR_CCC}", fontsize=10,
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=9)
    set_title(figure, base.name, "simulated")
    save(figure, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--effects", default=",".join(ROWS), help=f"of {', '.join(ROWS)}; default: all"
    )
    parser.add_argument("--seeds", default="0,1,2,3,4", help="with commas")
    parser.add_argument("--preset", default="demo", choices=tuple(PRESETS))
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument(
        "--out", default="", help="default: runs/benchmarks/feature_effects-PRESET"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.jobs < 1:
        parser.error(f"--jobs: expected at least 1, got {options.jobs}")
    chosen = {DEFAULT, *options.effects.split(",")}
    if unknown := chosen.difference(ROWS):
        parser.error(
            f"--effects: expected names of {', '.join(ROWS)}, got {min(unknown)!r}"
        )
    out = Path(options.out or f"runs/benchmarks/feature_effects-{options.preset}")
    console = Console()
    show_log(logging.WARNING)
    keep_compiled(out / "compiled")
    with StopRequest() as stop:
        try:
            seeds = parse_integers("--seeds", options.seeds)
            # One seed alone is its own ensemble.
            few = {ENSEMBLE} if len(seeds) == 1 else set()
            names = [name for name in ROWS if name in chosen - few]
            base = configure(options.preset)
            trained = [name for name in names if name in EFFECTS]
            runs = make_runs(base, trained, seeds, out)
            if options.jobs > 1:
                # Different programs compile at the same time.
                runs.sort(key=lambda run: run.config.seed)
            open_corpus(runs[0].config.data)
            train_all(
                runs, title="simulated effects", jobs=options.jobs, stop=stop,
                console=console,
            )  # fmt: skip
            rows = [read_row(name, seeds, out) for name in names]
        except Stopped as signal:
            console.print(f"{signal}: stopped; the same command resumes.")
            return stop.exit_status
        except (ValueError, *USER_ERRORS) as error:
            print(f"feature_effects: {error}", file=sys.stderr)
            return 1
    draw(out / "feature_effects.png", rows, base)
    numbers = {
        "simulated": True,
        "config": dataclasses.asdict(from_config_dict(base)),
        "seeds": seeds,
        "rows": [_tree(row) for row in rows],
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    made = make_table(rows, base, seeds)
    write_table(made, numbers, out / "feature_effects", console=console)
    return 0


def _tree(row: Row) -> dict[str, Any]:
    gain = {split: gap._asdict() for split, gap in row.gain.items()}
    return row._asdict() | {"gain": gain}


if __name__ == "__main__":
    sys.exit(main())
