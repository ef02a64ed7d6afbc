"""Starts `measure.py` for the benchmarks of the training step.

Every measurement gets a process of its own: the peak of an allocator cannot be reset,
and what ran out of memory must not hold any.
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
# Machine code of a step that never runs need not be fast; its buffers are the same.
QUICK_COMPILATION = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

# Locks of all such processes, also those of several commands: they compile side by side
# and run their steps one at a time; what runs out of memory then has the device alone.
_LOCKS = Path(tempfile.gettempdir())
TURNS = str(_LOCKS / f"damamba_jax-{os.getuid()}-step.lock")
ALONE = str(_LOCKS / f"damamba_jax-{os.getuid()}-alone.lock")


class BenchmarkError(UserError):
    """A measuring process failed, or the step does not compute what it should."""


def find_device(asked: str, config: Config) -> str:
    """Resolves `auto`, and makes sure that a GPU that was asked for is there.

    Raises:
      BenchmarkError: if there is none.
    """
    if asked == "cpu":
        return asked
    found = run({"task": "platform"}, config, "auto")["platform"]
    if asked == "gpu" and found != "gpu":
        raise BenchmarkError(
            "`--platform`: expected a GPU, jax finds none; install the extra "
            "`gpu`, or leave the flag away."
        )
    return found


def measure(
    request: dict[str, Any], config: Config, device: str, *, beside_others: bool
) -> dict[str, Any]:
    """Measures a step; what ran out of memory beside others, a second time alone.

    Args:
      request: of the task `measure`.
      config: what is trained.
      device: `"cpu"` or `"gpu"`.
      beside_others: whether the caller has several processes at work.

    Raises:
      BenchmarkError: if the process fails.
    """
    try:
        with _lock(ALONE, fcntl.LOCK_SH):
            row = run(request, config, device)
        if not (beside_others and is_exhausted(request, row)):
            return row
    except BenchmarkError as error:
        # While it compiled: kernels are tried out then.
        if not beside_others or "RESOURCE_EXHAUSTED" not in str(error):
            raise
    with _lock(ALONE, fcntl.LOCK_EX):
        return run(request, config, device)


def is_exhausted(request: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a step that was to run has no time: it ran out of memory."""
    runs = row["platform"] != "cpu" or request.get("run_on_cpu", False)
    return runs and row["step_ms"] is None


@contextlib.contextmanager
def _lock(path: str, kind: int) -> Iterator[None]:
    with open(path, "a") as file:
        fcntl.flock(file, kind)
        yield


def run(request: dict[str, Any], config: Config, device: str) -> dict[str, Any]:
    """Hands one request to a fresh process and returns its answer.

    Raises:
      BenchmarkError: if the process fails.
    """
    environment = dict(os.environ)
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    # Memory ends where the GPU's does, not at the three quarters that JAX takes.
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
    """Processes that start meanwhile share what they compile, unless they do anyway."""
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
