"""Starts `measure.py` for the benchmarks of the training step.

Every measurement gets a process of its own, because the peak of an allocator cannot be
reset, and because a step that ran out of memory must not keep any.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import child
from damamba_jax.config.sections import Config
from damamba_jax.errors import UserError

MODULE = "benchmarks.step.measure"
# A step that never runs needs no fast machine code. Its buffers are the same.
QUICK_COMPILATION = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

# Locks of all measuring processes, also if several commands started them. They compile
# side by side and run their steps one at a time. A step that ran out of memory runs
# again, alone on the device.
_LOCKS = Path(tempfile.gettempdir())
TURNS = str(_LOCKS / f"damamba_jax-{os.getuid()}-step.lock")
ALONE = str(_LOCKS / f"damamba_jax-{os.getuid()}-alone.lock")


class BenchmarkError(UserError):
    """A measuring process failed, or the step does not compute what it should."""


def find_device(asked: str, config: Config) -> str:
    """Finds the device for `auto`, and makes sure that a demanded GPU exists.

    Args:
      asked: `"auto"`, `"cpu"` or `"gpu"`.
      config: any configuration.

    Raises:
      BenchmarkError: if a GPU was asked for and there is none.
    """
    if asked == "cpu":
        return asked
    found = run({"task": "platform"}, config, "auto")["platform"]
    if asked == "gpu" and found != "gpu":
        raise BenchmarkError(
            "`--platform`: expected a GPU, but jax finds none. Install the extra "
            "`gpu`, or leave the flag away."
        )
    return found


def measure(
    request: dict[str, Any], config: Config, device: str, *, beside_others: bool
) -> dict[str, Any]:
    """Measures a step. If it runs out of memory beside others, it runs again alone.

    Args:
      request: the request of the task `measure`.
      config: the configuration whose step is measured.
      device: `"cpu"` or `"gpu"`.
      beside_others: whether the caller runs several processes at the same time.

    Raises:
      BenchmarkError: if the process fails.
    """
    try:
        with _lock(ALONE, fcntl.LOCK_SH):
            row = run(request, config, device)
        if not (beside_others and is_exhausted(request, row)):
            return row
    except BenchmarkError as error:
        # Memory can also run out in compilation, which tries kernels out.
        if not beside_others or "RESOURCE_EXHAUSTED" not in str(error):
            raise
    with _lock(ALONE, fcntl.LOCK_EX):
        return run(request, config, device)


def is_exhausted(request: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Says whether a step that had to run has no time, since it ran out of memory."""
    runs = row["platform"] != "cpu" or request.get("run_on_cpu", False)
    return runs and row["step_ms"] is None


@contextlib.contextmanager
def _lock(path: str, kind: int) -> Iterator[None]:
    with open(path, "a") as file:
        fcntl.flock(file, kind)
        yield


def run(request: dict[str, Any], config: Config, device: str) -> dict[str, Any]:
    """Gives one request to a new process, and returns the answer.

    Raises:
      BenchmarkError: if the process fails.
    """
    environment = dict(os.environ)
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    # A step may take nearly all memory of the GPU. JAX takes three quarters by default.
    environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")
    if device != "auto":
        environment["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[device]
    if device == "cpu" and not request.get("run_on_cpu"):
        environment.setdefault("XLA_FLAGS", QUICK_COMPILATION)
    about = {
        "turns": TURNS,
        "parent": os.getpid(),
        "config": dataclasses.asdict(config),
    }
    done = child.run_module(MODULE, {**about, **request}, environment)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise BenchmarkError(f"{request}: exit code {done.returncode}\n{last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


@contextlib.contextmanager
def compilation_cache() -> Iterator[None]:
    """Lets processes that start inside this context share their compiled programs.

    If the user has chosen a compilation cache, that one is used.
    """
    name = "JAX_COMPILATION_CACHE_DIR"
    if name in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            del os.environ[name]
