"""What longer windows are worth: CCC and oracle CCC against the window's length.

    python benchmarks/context_length.py --jobs=6              # the paper's model, a GPU
    python benchmarks/context_length.py --preset=small        # the demo's, two cores
    python benchmarks/context_length.py --preset=paper        # hours for each length

Every length trains the same configuration on the simulated corpus at equal cost: a
batch holds fewer windows the longer they are, so that frames per optimizer step, and
steps, are those of the configuration. Cores keep their share of the window (a third,
as published). `whole session` is the model of the longest window, run over each session
in one pass. The oracle sees the same window, or the whole session.

`published`, the default, is DA-Mamba as `systems.py` compares it: 500 steps of 6,144
frames in bfloat16. `paper` has the paper's features and recipe, 20,000 steps, and draws
a corpus of 9 GB first.

Each length is a training run with a workdir of its own under --out; the same command
goes on where it was interrupted. Writes a table (Markdown), the same as JSON, and a
picture.
"""

import argparse
import dataclasses
import json
import logging
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import systems
from matplotlib import ticker
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import ConfigError
from damamba_jax.evaluation import evaluation
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.reporting.figure import (
    PARTNERS,
    PREDICTION,
    make_figure,
    save,
    set_title,
    tidy,
)
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.results import write_results
from damamba_jax.reporting.table import Table, write_table
from damamba_jax.runtime.command import USER_ERRORS, parse_integers, show_log
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.studies.runs import Run, keep_compiled, train_all

LENGTHS = (96, 192, 384, 768, 1536, 3072)
# Of configs/noxi.py, and the corpus: enough people, in recordings of minutes.
PRESETS = {"paper": ("25hz", "ablation-noxi"), "small": ("demo", "demo")}


class Point(NamedTuple):
    """One length, measured.

    Attributes:
      frames: of the window; `None` for whole sessions.
      seconds: the window's; `None` for whole sessions.
      batch_size: windows per optimizer step of the model's training.
      ccc, low, high: of the model, with its 95 % interval over sessions.
      oracle: of the oracle that sees as much.
    """

    frames: int | None
    seconds: float | None
    batch_size: int
    ccc: float
    low: float | None
    high: float | None
    oracle: float


def resize(base: Config, frames: int) -> Config:
    """Gives a configuration longer windows at the same frames per step.

    Raises:
      ConfigError: if a step's frames are no whole number of such windows, or the core
        would not be.
    """
    window = base.data.window
    per_step = base.train.batch_size * window.window_frames
    if per_step % frames or frames * window.core_frames % window.window_frames:
        raise ConfigError(
            f"`--lengths`: expected divisors of the {per_step} frames of a step, in "
            f"multiples of {window.window_frames}, got {frames}."
        )
    share = frames / window.window_frames
    longer = dataclasses.replace(
        window,
        window_frames=frames,
        core_frames=round(window.core_frames * share),
        stride_frames=round(window.stride_frames * share),
    )
    return dataclasses.replace(
        base,
        name=f"{base.name}-context{frames}",
        data=dataclasses.replace(base.data, window=longer),
        train=dataclasses.replace(base.train, batch_size=per_step // frames),
    )


def measure(
    base: Config,
    lengths: Sequence[int],
    out: Path,
    *,
    split: str,
    jobs: int = 1,
    stop: StopRequest,
    console: Console,
) -> list[Point]:
    """Trains and scores every length that is not done yet; whole sessions come last.

    Args:
      base: configuration; its window is the shape of all others.
      lengths: frames.
      out: folder of the runs.
      split: that is scored.
      jobs: lengths that are trained at a time.
      stop: watches for signals.
      console: where progress goes.

    Raises:
      Stopped: on a signal, after the state was saved.
    """
    data = dataclasses.replace(base.data, eval_splits=(split,))
    base = dataclasses.replace(base, data=data)
    configs = [resize(base, frames) for frames in sorted(lengths)]
    runs = [
        Run(
            title=f"{config.data.window.window_frames} frames",
            config=config,
            folder=out / config.name,
        )
        for config in configs
    ]
    open_corpus(base.data)
    train_all(runs, title="simulated lengths", jobs=jobs, stop=stop, console=console)
    points = [_read(run.folder, split, run.config) for run in runs]
    longest, folder = runs[-1].config, runs[-1].folder
    if not (folder / "long" / "results.json").is_file():
        result = evaluation.evaluate(
            load_checkpoint(folder),
            open_corpus(longest.data),
            out=folder / "long",
            protocol="long",
            ridge=False,
            console=console,
        )
        write_results([result], folder / "long", console=console)
    whole = _read(folder / "long", split, longest)
    points.append(whole._replace(frames=None, seconds=None))
    return points


def _read(folder: Path, split: str, config: Config) -> Point:
    (result,) = json.loads((folder / "results.json").read_text())["results"]
    (found,) = [entry for entry in result["splits"] if entry["split"] == split]
    scores = found["scores"]
    return Point(
        frames=config.data.window.window_frames,
        seconds=config.data.window.window_seconds,
        batch_size=config.train.batch_size,
        ccc=scores["ccc"],
        low=scores["ccc_low"],
        high=scores["ccc_high"],
        oracle=found["oracle"]["ccc"],
    )


def table(points: Sequence[Point], base: Config, split: str) -> Table:
    """Makes the table, one row per length."""
    per_step = base.train.batch_size * base.data.window.window_frames
    rows = [
        (
            "whole session" if p.frames is None else f"{p.frames:,}",
            ABSENT if p.seconds is None else f"{p.seconds:.2f}",
            str(p.batch_size),
            f"{p.ccc:.3f}",
            ABSENT if p.low is None else f"[{p.low:.3f}, {p.high:.3f}]",
            f"{p.oracle:.3f}",
            f"{100 * p.ccc / p.oracle:.0f} %",
        )
        for p in points
    ]
    return Table(
        title=f"Context length, {base.name}, {split} (simulated)",
        columns=(
            "window, frames", "seconds", "batch", "CCC", "95 % interval", "oracle CCC",
            "share",
        ),
        rows=tuple(rows),
        notes=(
            f"Equal training cost: {base.train.steps:,} steps of {per_step:,} frames "
            f"per person. Whole session: the model of the longest window in one pass.",
        ),
    )  # fmt: skip


def draw(path: Path, points: Sequence[Point], base: Config, split: str) -> None:
    """Draws both curves over the window's length; whole sessions stand at the right."""
    figure = make_figure(8.0, 4.8)
    axes = figure.subplots()
    tidy(axes)
    place = range(len(points))
    ccc = [p.ccc for p in points]
    axes.plot(place, [p.oracle for p in points], "D--", color=PARTNERS[0],
              label="oracle with the same window", markerfacecolor="none")  # fmt: skip
    axes.plot(place, ccc, "o-", color=PREDICTION, label="model")
    bounded = [(i, p) for i, p in enumerate(points) if p.low is not None]
    if bounded:
        axes.vlines(
            [i for i, _ in bounded], [p.low for _, p in bounded],
            [p.high for _, p in bounded], color=PREDICTION, alpha=0.4,
            label="95 % interval over sessions",
        )  # fmt: skip
    names = [
        "whole\nsession" if p.frames is None else f"{p.frames}\n{p.seconds:.3g} s"
        for p in points
    ]
    axes.set_xticks(place, names)
    axes.set_xlabel("window (frames, seconds); equal training cost", fontsize=10)
    axes.set_ylabel("CCC", fontsize=10)
    axes.yaxis.set_major_locator(ticker.AutoLocator())
    axes.legend(frameon=False, fontsize=9)
    set_title(figure, f"{base.name} · {split}", "simulated")
    save(figure, path)


def publish(
    points: Sequence[Point], base: Config, out: Path, *, split: str, console: Console
) -> None:
    """Prints the table and writes it, the numbers and the picture."""
    draw(out / "context_length.png", points, base, split)
    numbers = {
        "simulated": True,
        "split": split,
        "config": dataclasses.asdict(base),
        "points": [point._asdict() for point in points],
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    made = table(points, base, split)
    write_table(made, numbers, out / "context_length", console=console)


def configure(preset: str) -> Config:
    """Returns the configuration of a preset."""
    if preset == "published":
        config = systems.configure(systems.presets()[preset], systems.OURS, 3e-4, 0)
        return dataclasses.replace(config, name="context-published")
    name, corpus = PRESETS[preset]
    config = noxi.get_config(name)
    config.data.simulated = corpus
    if preset == "small":
        # The longest windows come in pairs: the loss is to see more than one of them.
        config.train.batch_size = 64
    return from_config_dict(config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--preset", default="published", choices=("published", *PRESETS)
    )
    parser.add_argument(
        "--lengths", default=",".join(map(str, LENGTHS)), help="frames, with commas"
    )
    parser.add_argument("--split", default="noxi/test-base")
    parser.add_argument("--jobs", type=int, default=1, help="lengths at a time")
    parser.add_argument(
        "--out", default="", help="default: runs/benchmarks/context_length-PRESET"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit status."""
    options = _parser().parse_args(argv)
    out = Path(options.out or f"runs/benchmarks/context_length-{options.preset}")
    show_log(logging.WARNING)
    keep_compiled(out / "compiled")
    console = Console()
    with StopRequest() as stop:
        try:
            lengths = parse_integers("--lengths", options.lengths)
            base = configure(options.preset)
            points = measure(
                base, lengths, out, split=options.split, jobs=options.jobs, stop=stop,
                console=console,
            )  # fmt: skip
            publish(points, base, out, split=options.split, console=console)
        except Stopped as signal:
            console.print(f"{signal}: stopped; the same command resumes.")
            return stop.exit_status
        except (ValueError, *USER_ERRORS) as error:
            print(f"context_length: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
