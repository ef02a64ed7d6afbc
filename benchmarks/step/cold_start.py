"""Time before the first training step, with nothing kept from earlier runs.

    python -m benchmarks.step.cold_start
    python -m benchmarks.step.cold_start --config.model.compute_dtype=bfloat16

First a step of `configs/noxi.py` is checked against the reference scan. Then a process
lowers and compiles the step by itself and takes steps. The command shows the seconds of
each part, the number of distinct GPU kernels and the median time of a step. Last,
`damamba train` runs in an empty folder with empty caches until its first step is
logged. It runs a second time with the caches of the first run. Without
`--config.data.root` it trains on the simulated corpus.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import child
from benchmarks.step import command, process
from benchmarks.step.memory_table import made_by
from benchmarks.step.process import BenchmarkError
from benchmarks.step.steps import Steps, parity_text
from damamba_jax.runs.workdir import METRICS
from damamba_jax.runtime import programs
from damamba_jax.runtime.parser import Parser, split_fields, whole

DEFAULT_CONFIG = "configs/noxi.py"
# A run that takes no step for this long is stuck.
MOST_SECONDS = 600.0
# A run has this many seconds to save its state and to end.
TO_END = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command, and returns its exit code.

    Args:
      argv: the flags; `None` means those of this process.
    """
    return command.start(_run, argv)


def _run(argv: Sequence[str], console: Console) -> int:
    chosen, config = command.read_one(argv, make_parser(), default=DEFAULT_CONFIG)
    device = process.find_device(chosen.platform, config)
    # Nothing may be read from a cache that the user has chosen.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    console.print("checking a step")
    parity = Steps(device).check(config)
    console.print("lowering and compiling a step")
    # The step runs on a CPU too, so it must be compiled as training compiles it.
    request = {"task": "start", "repeats": chosen.repeats, "run_on_cpu": True}
    parts = process.run(request, config, device)
    _show(config.name, parity, parts)
    size = f"--config.train.batch_size={config.train.batch_size}"
    flags = [*config_flags(argv), size]
    with tempfile.TemporaryDirectory() as folder:
        for number, caches in enumerate(("empty", "kept")):
            console.print(f"training until the first step, caches {caches}")
            seconds = seconds_to_first_step(
                train_command(flags, Path(folder) / f"run-{number}"),
                Path(folder) / f"run-{number}" / METRICS,
                environment=_environment(device, Path(folder) / "cache"),
            )
            print(
                f"command to first step, caches {caches}: {seconds:.1f} s", flush=True
            )
    return 0


def config_flags(argv: Sequence[str]) -> list[str]:
    """Returns the flags that name the configuration and set its fields.

    A command line without `--config` gets the default configuration.
    """
    files, rest = command.split_configs(argv)
    _, fields = split_fields(rest)
    return [
        *(f"--config={file}" for file in files or [DEFAULT_CONFIG]),
        *(
            f"--config.{path}" if value is None else f"--config.{path}={value}"
            for path, value in fields
        ),
    ]


def make_parser() -> Parser:
    """Makes the parser of the flags that only this command has."""
    parser = Parser("python -m benchmarks.step.cold_start", __doc__)
    parser.add_argument(
        "--repeats", type=whole(1), default=20, metavar="N",
        help="number of timed steps",
    )  # fmt: skip
    return parser


def train_command(flags: Sequence[str], workdir: Path) -> list[str]:
    """Returns the command line of a training run that logs its first step."""
    return [
        sys.executable, "-m", "damamba_jax.train", *flags,
        "--config.train.log_every=1", f"--workdir={workdir}",
    ]  # fmt: skip


def seconds_to_first_step(
    arguments: Sequence[str], metrics: Path, *, environment: Mapping[str, str]
) -> float:
    """Runs a command until its first step is logged, and then ends it.

    Args:
      arguments: the command line.
      metrics: the file to which the step is logged.
      environment: the environment variables of the process.

    Returns:
      The seconds until the first step was logged.

    Raises:
      BenchmarkError: if the command ends, or takes too long, before a step is logged.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        start = time.perf_counter()
        running = subprocess.Popen(
            arguments, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while not (metrics.exists() and metrics.stat().st_size):
                seconds = time.perf_counter() - start
                if running.poll() is not None or seconds > MOST_SECONDS:
                    output.seek(0)
                    last = "\n".join(output.read().strip().splitlines()[-5:])
                    raise BenchmarkError(
                        f"no step was logged within {seconds:.0f} s; exit code "
                        f"{running.returncode}\n{last}"
                    )
                time.sleep(0.02)
            return time.perf_counter() - start
        finally:
            running.terminate()
            try:
                running.wait(TO_END)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _environment(device: str, cache: Path) -> dict[str, str]:
    """Returns environment variables of a training run with its caches in a folder."""
    return {
        **child.find_packages(),
        "JAX_PLATFORMS": {"cpu": "cpu", "gpu": "cuda"}.get(device, ""),
        programs.VARIABLE: str(cache),
        # The GPU's driver has a cache of its own.
        "CUDA_CACHE_DISABLE": "1",
    }


def _show(name: str, parity: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """Prints the check, and the time of each part before the first step."""
    print(
        f"{name}, {made_by([parts])}\n{parity_text(parity)}\n"
        f"distinct GPU kernels: {parts['kernels']}"
    )
    for part in ("trace", "lower", "compile", "first_step"):
        print(f"{part.replace('_', ' ')}: {parts[f'{part}_seconds']:.1f} s")
    print(f"step: {parts['step_ms']:.2f} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
