"""Runs `python -m damamba_jax.study systems`, and adds time and memory of a step.

    python -m benchmarks.systems --jobs=12           # the published sizes, on a GPU
    python -m benchmarks.systems --preset=small      # the demo's sizes, on two cores

Time and memory are those of one training step of each system. Each step runs alone on
the device, in a process of its own. Before that, a check computes the same step in
another way, as `memory_curve` does. On a CPU the memory is what the compiler reports,
which is good for comparisons only.
"""

import dataclasses
import functools
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.step import memory_table, process
from benchmarks.step.steps import Steps
from damamba_jax.config.sections import Config
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.studies import systems
from damamba_jax.studies.command import main
from damamba_jax.studies.engine import Study


def measure(study: Study, out: Path, *, jobs: int, console: Console) -> Study:
    """Adds time and memory of a step of each system, at its first learning rate.

    Args:
      study: the comparison of systems.
      out: the study's folder, which keeps the measurements.
      jobs: the number of processes that compile at a time. Steps run one by one.
      console: the console that shows progress.

    Raises:
      BenchmarkError: if a step does not compute what it should, or if a process fails.
    """
    # The study's runs and the measuring processes need the memory of the devices, so
    # this process must not reserve it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    configs = {row.title: row.config for row in reversed(study.rows)}
    steps = Steps(
        process.find_device("auto", study.base),
        folder=out / "steps",
        beside_others=jobs > 1,
        run_on_cpu=True,
    )
    with (
        ProgressLine("steps", console, unit="systems", every_seconds=0.0) as tell,
        ThreadPoolExecutor(jobs) as pool,
    ):
        tell(0, len(configs), note="compiling")
        asked = {
            name: pool.submit(measure_step, config, steps)
            for name, config in configs.items()
        }
        for done, _ in enumerate(as_completed(asked.values()), start=1):
            tell(done, len(configs))
        rows = {name: row.result() for name, row in asked.items()}
    return dataclasses.replace(
        study,
        tables=functools.partial(systems.tables, costs=describe_costs(rows)),
        numbers={"steps": rows},
    )


def measure_step(config: Config, steps: Steps) -> dict[str, Any]:
    """Checks the step of a configuration, and measures it."""
    parity = steps.check(config)
    row = steps.measure(config, config.data.window.window_frames)
    return {**row, "parity": parity}


def describe_costs(steps: Mapping[str, Mapping[str, Any]]) -> systems.Costs:
    """Writes the measurements in the form that the table shows."""
    times = {name: step["step_ms"] for name, step in steps.items()}
    peaks = {name: memory_table.peak(step) for name, step in steps.items()}
    memory = "peak of the GPU's allocator"
    if any(step["platform"] == "cpu" for step in steps.values()):
        memory = "reported by the compiler; for comparisons only"
    return systems.Costs(
        {name: ABSENT if t is None else f"{t:.1f}" for name, t in times.items()},
        {
            name: "out of memory" if peak is None else f"{peak / 1e9:.2f}"
            for name, peak in peaks.items()
        },
        f"ms and GB of a step alone ({memory}): "
        f"{memory_table.made_by(steps.values())}.",
    )


if __name__ == "__main__":
    sys.exit(main(["systems", *sys.argv[1:]], prepare=measure))
