"""Starts `torch_peers.py`, in a process of its own that frees its memory at the end.

This module draws small arguments, computes their results with `reference`, and writes
both to files. The peers must agree with these results.
"""

import argparse
import importlib.util
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import child
from benchmarks.scan import timing
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS, ArgSpec

PEERS = ("mamba_ssm", "torch loop")
MODULE = "benchmarks.scan.torch_peers"
# The shape of a window, and a shape longer than one 2048-step chunk of mamba's kernel.
PARITY = (ArgSpec(2, 96, 64), ArgSpec(1, 2100, 8))


def run_peers(
    flags: argparse.Namespace, tolerances: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Returns the rows of all peers, or one row that says why there are none.

    Args:
      flags: the flags of `speed`.
      tolerances: the largest allowed error for each dtype.
    """
    if not flags.peers:
        return []
    if importlib.util.find_spec("torch") is None:
        return [{"by": ", ".join(flags.peers), "note": "PyTorch is not installed"}]
    with tempfile.TemporaryDirectory() as folder:
        request = {
            "device": {"cpu": "cpu", "gpu": "cuda"}[jax.default_backend()],
            "specs": {name: _sizes(ARG_SPECS[name]) for name in flags.shapes},
            "dtypes": flags.dtype,
            "peers": flags.peers,
            "parity": {dtype: _write_parity(folder, dtype) for dtype in flags.dtype},
            "tolerance": tolerances,
            "repeats": 50 if jax.default_backend() == "gpu" else flags.repeats,
            "seconds": flags.seconds,
        }
        done = child.run_module(MODULE, request)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        rows.append({"by": "PyTorch", "failed": True,
                     "note": f"exit code {done.returncode}: {last}"})  # fmt: skip
    return rows


def _sizes(spec: ArgSpec) -> tuple[int, int, int, int]:
    return spec.batch, spec.length, spec.dim, spec.states


def _write_parity(folder: str, dtype: str) -> list[str]:
    """Writes arguments and float32 results of every parity shape to files.

    Returns:
      The paths of the files.
    """
    paths = []
    for spec in PARITY:
        inputs = timing.draw(spec, dtype)
        args, y_bar = jax.tree.map(lambda v: v.astype(jnp.float32), inputs)
        program = timing.build("forward_backward", "reference", (args, y_bar))
        y, grads = program.call(args, y_bar)
        named = {f"grad_{name}": grad for name, grad in grads.items()}
        arrays = {**args, "y_bar": y_bar, "y": y, **named}
        paths.append(str(Path(folder) / f"{dtype}_{spec.length}.npz"))
        np.savez(paths[-1], **jax.device_get(arrays))
    return paths
