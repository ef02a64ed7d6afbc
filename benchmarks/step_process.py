"""Starts `memory_step.py` for the benchmarks of the training step.

Every measurement gets a process of its own: the peak of an allocator cannot be reset,
and what ran out of memory must not hold any.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import damamba_jax
from damamba_jax.config.sections import Config
from damamba_jax.errors import UserError

STEP = Path(__file__).with_name("memory_step.py")
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


def check_parity(config: Config, device: str) -> dict[str, Any]:
    """Runs the check of `memory_step` and returns what it found.

    Raises:
      BenchmarkError: if the step does not agree with the reference.
    """
    parity = run({"task": "parity"}, config, device)
    if not parity["ok"]:
        raise BenchmarkError(
            f"{config.name}: a step of this configuration and the same "
            f"{parity['other']} disagree; no figure is printed: {parity}"
        )
    return parity


def measure(
    config: Config,
    device: str,
    *,
    length: int,
    beside_others: bool,
    **options: Any,
) -> dict[str, Any]:
    """Measures a step; what ran out of memory beside others, a second time alone.

    Args:
      length: frames of a window.
      beside_others: whether the caller has several processes at work.
      options: the options of `memory_step.measure`.

    Raises:
      BenchmarkError: if the process fails.
    """
    request = {"task": "measure", "length": length, **options}
    try:
        with _lock(ALONE, fcntl.LOCK_SH):
            row = run(request, config, device)
        exhausted = row["platform"] != "cpu" and row["step_ms"] is None
        if not (exhausted and beside_others):
            return row
    except BenchmarkError as error:
        # While it compiled: kernels are tried out then.
        if not beside_others or "RESOURCE_EXHAUSTED" not in str(error):
            raise
    with _lock(ALONE, fcntl.LOCK_EX):
        return run(request, config, device)


@contextlib.contextmanager
def _lock(path: str, kind: int) -> Iterator[None]:
    with open(path, "a") as file:
        fcntl.flock(file, kind)
        yield


def run(request: dict[str, Any], config: Config, device: str) -> dict[str, Any]:
    """Hands one request to a fresh process and returns its answer."""
    environment = dict(os.environ)
    # The package may have been found through the working folder alone.
    package = str(Path(damamba_jax.__file__).parents[1])
    paths = [package, *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    # Memory ends where the GPU's does, not at the three quarters that JAX takes.
    environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")
    if device != "auto":
        environment["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[device]
    if device == "cpu" and not request.get("run_on_cpu"):
        environment.setdefault("XLA_FLAGS", QUICK_COMPILATION)
    done = subprocess.run(
        [sys.executable, str(STEP)],
        input=json.dumps(
            {
                "turns": TURNS,
                "parent": os.getpid(),
                **request,
                "config": dataclasses.asdict(config),
            }
        ),
        env=environment,
        capture_output=True,
        text=True,
    )
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


def parse_lengths(text: str, named: dict[str, tuple[int, ...]]) -> list[int]:
    """Reads lengths of windows; a name in `named` stands for several.

    Raises:
      ValueError: if they are none.
    """
    if text in named:
        return list(named[text])
    try:
        lengths = sorted({int(part) for part in text.split(",")})
    except ValueError:
        lengths = []
    if not lengths or lengths[0] < 3:
        known = "".join(f"`{name}`, or " for name in named)
        raise ValueError(
            f"`--lengths`: expected {known}whole numbers of at least 3 with commas "
            f"(e.g. 256,512), got {text!r}."
        )
    return lengths
