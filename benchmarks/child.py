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
    """Runs a module that reads its request as JSON from its standard input.

    Args:
      name: the dotted name of the module, such as `"benchmarks.step.measure"`.
      request: the request, of values that JSON can hold.
      environment: the environment variables of the process.

    Returns:
      The exit code, the standard output and the standard error.
    """
    return subprocess.run(
        [sys.executable, "-m", name],
        input=json.dumps(request),
        env=find_packages(environment),
        capture_output=True,
        text=True,
    )


def find_packages(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns environment variables with which a process finds this one's packages.

    The process finds them in every working folder.

    Args:
      environment: the other environment variables of the process.
    """
    # Perhaps this process found the package only through its working folder.
    package = str(Path(damamba_jax.__file__).parents[1])
    paths = [package, str(_ROOT), environment.get("PYTHONPATH", "")]
    found = os.pathsep.join(dict.fromkeys(filter(None, paths)))
    return {**environment, "PYTHONPATH": found}
