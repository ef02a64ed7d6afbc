"""DA-Mamba against DAT: CCC, parameters, time and memory, on the same windows.

    python benchmarks/systems.py --jobs=12           # the published sizes, a GPU
    python benchmarks/systems.py --preset=small      # the demo's sizes, two cores

`published`: DA-Mamba of `configs/noxi.py` and DAT's three sizes of `configs/dat.py`, on
the corpus of `configs/ablation.py:converged` (windows of 3.84 s at 25 Hz, features of
the demo's widths), 500 steps of 64 windows in bfloat16 at each of two learning rates.
`small`: the demo and `configs/dat.py:small`, as they stand. All runs of a seed see the
same windows in the same order, and share everything but the model; each system keeps
its own losses. Differences are paired over seeds and sessions.

Time and memory are those of one training step of each system, alone in a process on an
idle device, after a check that the step computes the same in another way (as in
memory_curve.py); on a CPU the memory is the compiled one, good for comparisons only.

Each run has a workdir of its own under --out; the same command goes on where it was
interrupted, and seeds can be added. Writes a table (Markdown), the same as JSON, and a
picture.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import memory_report
import step_process
from kept_steps import KeptSteps
from ml_collections import ConfigDict
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import ablation, dat, noxi
from damamba_jax.data.open import open_corpus
from damamba_jax.evaluation.results import TITLES
from damamba_jax.metrics.paired_gap import PairedGap, measure_gap
from damamba_jax.reporting.figure import (
    PARTNERS,
    PREDICTION,
    make_figure,
    save,
    set_title,
    tidy,
)
from damamba_jax.reporting.numbers import ABSENT, difference, spread
from damamba_jax.reporting.table import Table, write_table
from damamba_jax.runs.traces import read_traces
from damamba_jax.runtime.command import USER_ERRORS, parse_integers, show_log
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.studies.ablation_scores import read_scores
from damamba_jax.studies.runs import Run, keep_compiled, train_all

# The system that the others are compared with.
OURS = "DA-Mamba"


class Preset(NamedTuple):
    """What is compared.

    Attributes:
      base: data, optimizer and length of all runs.
      systems: configuration of each system; its model and losses are taken.
      rates: learning rates.
      fields: of every model.
    """

    base: ConfigDict
    systems: dict[str, ConfigDict]
    rates: tuple[float, ...]
    fields: dict[str, Any]


def presets() -> dict[str, Preset]:
    """The comparisons by name."""
    others = {f"DAT {size}": dat.get_config(size) for size in ("paper_table", "m", "l")}
    published = ablation.get_config("converged")
    published.name = "systems-published"
    published.train.steps = published.train.eval_every = 500
    published.train.save_every = 500
    small = noxi.get_config("demo")
    small.name = "systems-small"
    return {
        "published": Preset(
            published,
            {OURS: noxi.get_config(), **others},
            rates=(3e-4, 1e-3),
            fields={"compute_dtype": "bfloat16"},
        ),
        "small": Preset(
            small,
            {OURS: noxi.get_config("demo"), "DAT small": dat.get_config("small")},
            rates=(small.optim.lr,),
            fields={},
        ),
    }  # fmt: skip


def configure(preset: Preset, system: str, rate: float, seed: int) -> Config:
    """Puts a system's model and losses into the runs' configuration."""
    config, source = preset.base.copy_and_resolve_references(), preset.systems[system]
    config.model = ConfigDict(source.model)
    config.model.update(preset.fields)
    config.optim.infonce_weight = source.optim.infonce_weight
    config.optim.lr = rate
    config.seed = seed
    config.name = f"{preset.base.name}-{_slug(system)}"
    return from_config_dict(config)


class Row(NamedTuple):
    """One system at one learning rate.

    Attributes:
      ccc: by split, of every seed.
      behind: by split, what it loses against DA-Mamba at the same rate; none of itself.
      share: by split, of the oracle's CCC.
    """

    system: str
    rate: float
    ccc: dict[str, list[float]]
    behind: dict[str, PairedGap]
    share: dict[str, float]


def make_runs(preset: Preset, seeds: Sequence[int], out: Path) -> list[Run]:
    """Lists the runs seed by seed, each with a workdir in `out`."""
    return [
        Run(
            title=f"{system}, rate {rate:g}, seed {seed}",
            config=configure(preset, system, rate, seed),
            folder=_folder(out, system, rate, seed),
        )
        for seed in seeds
        for rate in preset.rates
        for system in preset.systems
    ]


def _folder(out: Path, system: str, rate: float, seed: int) -> Path:
    return out / "runs" / f"{_slug(system)}-{rate:g}-{seed}"


def _slug(system: str) -> str:
    return system.lower().replace(" ", "-")


def measure_steps(
    preset: Preset, out: Path, *, jobs: int, device: str, console: Console
) -> dict[str, dict[str, Any]]:
    """Checks a step of each system and measures it, or reads what was measured.

    Args:
      jobs: processes that compile at a time; steps run one by one.

    Raises:
      BenchmarkError: if a step does not compute what it should, or a process fails.
    """
    configs = {s: configure(preset, s, preset.rates[0], 0) for s in preset.systems}
    kept = KeptSteps(out / "steps", device)
    with (
        ProgressLine("steps", console, unit="systems", every_seconds=0.0) as tell,
        ThreadPoolExecutor(jobs) as pool,
    ):
        tell(0, len(configs), note="compiling")
        steps = {
            system: pool.submit(
                _measure_step, config, kept, device, beside_others=jobs > 1
            )
            for system, config in configs.items()
        }
        for done, _ in enumerate(as_completed(steps.values()), start=1):
            tell(done, len(configs))
        return {system: step.result() for system, step in steps.items()}


def _measure_step(config: Config, kept: KeptSteps, device: str, *, beside_others: bool):
    length = config.data.window.window_frames
    step = kept.get(config, length=length)
    if step is None:
        parity = step_process.check_parity(config, device)
        step = step_process.measure(
            config, device, length=length, beside_others=beside_others, run_on_cpu=True
        )
        step |= {"parity": parity}
        if step["step_ms"] is not None:  # else there may be more memory another time
            kept.put(step, config, length=length)
    return step


def read_rows(preset: Preset, seeds: Sequence[int], out: Path) -> list[Row]:
    """Reads what finished runs scored, and pairs them with DA-Mamba's."""
    rows = []
    for rate in preset.rates:
        ours = [_folder(out, OURS, rate, seed) for seed in seeds]
        for system in preset.systems:
            folders = [_folder(out, system, rate, seed) for seed in seeds]
            scored = [_scores(folder) for folder in folders]
            ccc = {s: [one[s]["scores"]["ccc"] for one in scored] for s in scored[0]}
            behind = {}
            if system != OURS:
                behind = {split: _pair(ours, folders, split) for split in ccc}
            share = {
                split: fmean(ccc[split]) / scored[0][split]["oracle"]["ccc"]
                for split in ccc
                if scored[0][split]["oracle"]
            }
            rows.append(Row(system, rate, ccc, behind, share))
    return rows


def _pair(ours: Sequence[Path], others: Sequence[Path], split: str) -> PairedGap:
    sides = [[read_traces(f, split) for f in folders] for folders in (ours, others)]
    return measure_gap(*sides)


def _scores(folder: Path) -> dict[str, dict[str, Any]]:
    """Labelled test splits of a finished run, by name."""
    found = read_scores(folder)
    return {split: found[split] for split in TITLES if split in found}


def table(
    rows: Sequence[Row], steps: dict[str, dict[str, Any]], preset: Preset
) -> Table:
    """Makes the table: a row per system and learning rate."""
    splits = list(rows[0].ccc)
    cells = []
    for row in rows:
        step = steps[row.system]
        peak = memory_report.peak(step)
        scores = []
        for split in splits:
            scores += [
                spread(row.ccc[split]), _behind(row.behind.get(split)),
                f"{100 * row.share[split]:.0f} %" if split in row.share
                else ABSENT,
            ]  # fmt: skip
        cells.append(
            (
                row.system,
                f"{row.rate:g}",
                *scores,
                f"{step['parameters']:,}",
                ABSENT if step["step_ms"] is None else f"{step['step_ms']:.1f}",
                "out of memory" if peak is None else f"{peak / 1e9:.2f}",
            )
        )
    config = configure(preset, OURS, preset.rates[0], 0)
    memory = "peak of the GPU's allocator"
    if steps[OURS]["platform"] == "cpu":
        memory = "compiled, never allocated; for comparisons only"
    return Table(
        title=f"Systems side by side, {preset.base.name} (simulated)",
        columns=(
            "system", "rate",
            *(c for s in splits for c in (TITLES[s], "to DA-Mamba", "of the oracle")),
            "parameters", "ms / step", "GB",
        ),
        rows=tuple(cells),
        notes=(
            "CCC: mean ± standard deviation over "
            f"{len(next(iter(rows[0].ccc.values())))} seeds. To DA-Mamba: difference "
            "± its standard error, paired over seeds and sessions; in bold what is "
            "ahead of it.",
            f"{config.train.steps:,} steps of {config.train.batch_size} windows of "
            f"{config.data.window.window_seconds:.3g} s at "
            f"{config.data.window.frame_hz:g} Hz, {config.model.compute_dtype}. Of the "
            "oracle for this window; in a domain that it does not know, of the "
            "transfer oracle.",
            f"ms and GB of a step alone ({memory}): "
            f"{memory_report.made_by(steps.values())}.",
        ),
    )  # fmt: skip


def _behind(gap: PairedGap | None) -> str:
    if gap is None:
        return ABSENT
    text = difference(-gap.mean, gap.standard_error)
    return f"**{text}**" if gap.mean < 0 else text


def draw(path: Path, rows: Sequence[Row], preset: Preset) -> None:
    """Draws a panel per split; small dots are seeds."""
    splits = list(rows[0].ccc)
    figure = make_figure(10.0, 1.6 + 0.35 * len(rows))
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    names = [f"{row.system}, {row.rate:g}" for row in rows]
    for axes, split in zip(panels, splits, strict=True):
        tidy(axes)
        for i, row in enumerate(rows):
            ours = row.system == OURS
            colour = PREDICTION if ours else PARTNERS[0]
            values = row.ccc[split]
            axes.plot(values, [i] * len(values), ".", color=colour, alpha=0.5)
            axes.plot(fmean(values), i, "o", color=colour)
        axes.set_xlabel(f"CCC, {TITLES[split]}", fontsize=10)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    set_title(figure, preset.base.name, "simulated")
    save(figure, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="published", choices=tuple(presets()))
    parser.add_argument("--seeds", default="0,1,2", help="with commas")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument(
        "--out", default="", help="default: runs/benchmarks/systems-PRESET"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.jobs < 1:
        parser.error(f"--jobs: expected at least 1, got {options.jobs}")
    out = Path(options.out or f"runs/benchmarks/systems-{options.preset}")
    preset, console = presets()[options.preset], Console()
    show_log(logging.WARNING)
    keep_compiled(out / "compiled")
    # The devices are the runs' and the measuring processes'.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with StopRequest() as stop:
        try:
            seeds = parse_integers("--seeds", options.seeds)
            runs = make_runs(preset, seeds, out)
            device = step_process.find_device("auto", runs[0].config)
            open_corpus(runs[0].config.data)
            steps = measure_steps(
                preset, out, jobs=options.jobs, device=device, console=console
            )
            train_all(
                runs, title="simulated systems", jobs=options.jobs, stop=stop,
                console=console,
            )  # fmt: skip
            rows = read_rows(preset, seeds, out)
        except Stopped as signal:
            console.print(f"{signal}: stopped; the same command resumes.")
            return stop.exit_status
        except (ValueError, step_process.BenchmarkError, *USER_ERRORS) as error:
            print(f"systems: {error}", file=sys.stderr)
            return 1
    draw(out / "systems.png", rows, preset)
    numbers = {"rows": [_tree(row) for row in rows], "steps": steps}
    made = table(rows, steps, preset)
    write_table(made, numbers, out / "systems", console=console)
    return 0


def _tree(row: Row) -> dict[str, Any]:
    behind = {split: gap._asdict() for split, gap in row.behind.items()}
    return row._asdict() | {"behind": behind}


if __name__ == "__main__":
    sys.exit(main())
