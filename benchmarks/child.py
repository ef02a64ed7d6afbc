"""Starts a module of the benchmarks in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import damamba_jax

_ROOT = Path(__file__).resolve().parents[1]


def run_module(
    name: str, request: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Runs a module, which reads its request as JSON from its standard input.

    Args:
      name: the dotted name, e.g. `"benchmarks.step.measure"`.
      request: whatever JSON can hold.
      environment: the variables of the process.

    Returns:
      Exit code, standard output and standard error.
    """
    return subprocess.run(
        [sys.executable, "-m", name],
        input=json.dumps(request),
        env=find_packages(environment),
        capture_output=True,
        text=True,
    )


def find_packages(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Lets a process find the packages that this one has, from wherever it starts.

    Args:
      environment: the other variables of the process.
    """
    # The package may have been found through the working folder alone.
    package = str(Path(damamba_jax.__file__).parents[1])
    paths = [package, str(_ROOT), environment.get("PYTHONPATH", "")]
    found = os.pathsep.join(dict.fromkeys(filter(None, paths)))
    return {**environment, "PYTHONPATH": found}
