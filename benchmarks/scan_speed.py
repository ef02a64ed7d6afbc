"""Speed of every implementation of the selective scan, forward and with gradients.

    python benchmarks/scan_speed.py [--shapes=demo_feature,demo_visual] [--repeats=20]

Each implementation must first agree with the reference on the shape that is timed
(two rows of it), outputs and all gradients; otherwise nothing is printed for it and
the exit code is 1. Times are medians after one run to warm up, compilation apart; the
ratio is to `reference` in the same run. Prints a table and writes a picture.
"""

import argparse
import datetime
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from damamba_jax.kernels import selective_scan
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS, describe, supports
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS, make_arguments

PICTURE = "runs/benchmarks/scan_speed.png"
CPU_SHAPES = "demo_feature,demo_audio,demo_visual,paper_feature"
TOLERANCE = 1e-4


def forward(implementation, args):
    args = dict(args)
    arrays = [args.pop(k) for k in ("x", "dt", "a", "b", "c")]
    return selective_scan(
        *arrays, **args, dt_softplus=True, implementation=implementation
    )


def forward_backward(implementation, args):
    """The output and the gradient of the sum of squares of everything in it."""

    def loss(args):
        output = forward(implementation, args)
        return sum(jnp.sum(jnp.square(v.astype(jnp.float32))) for v in output)

    return jax.value_and_grad(loss)(args)


def disagreement(implementation, args):
    """Largest max |err| / max |ref| over outputs and gradients, on two rows."""
    args = {k: v[:2] if v.ndim == 3 else v for k, v in args.items()}
    worst = 0.0
    for run in (forward, forward_backward):
        got, want = (
            jax.jit(run, static_argnums=0)(name, args)
            for name in (implementation, "reference")
        )
        for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            g, w = g.astype(jnp.float32), w.astype(jnp.float32)
            # Not `max(worst, error)`, which would drop a NaN.
            error = float(jnp.max(jnp.abs(g - w)) / jnp.max(jnp.abs(w)))
            worst = worst if error <= worst else error
    return worst


def measure(run, implementation, args, repeats, limit_gib):
    """Returns median ms, compile seconds and temporary GiB; ms is None if too big."""
    start = time.perf_counter()
    compiled = jax.jit(run, static_argnums=0).lower(implementation, args).compile()
    compile_seconds = time.perf_counter() - start
    gib = compiled.memory_analysis().temp_size_in_bytes / 2**30
    if gib > limit_gib:
        return None, compile_seconds, gib
    jax.block_until_ready(compiled(args))
    times = []
    while len(times) < repeats and (len(times) < 3 or sum(times) < 2.0):
        start = time.perf_counter()
        jax.block_until_ready(compiled(args))
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times), compile_seconds, gib


def bench(name, args, repeats, limit_gib):
    """Returns the rows of one shape and the implementations that failed the gate."""
    rows, failed, baseline = [], [], {}
    for implementation in IMPLEMENTATIONS:
        support = supports(implementation, describe(args["x"], args["a"]))
        if not support:
            print(f"{name}: {implementation} left out: {support.reason}")
            continue
        worst = disagreement(implementation, args)
        if not worst <= TOLERANCE:
            print(f"{name}: {implementation} disagrees with reference: {worst:.1e}")
            failed.append(implementation)
            continue
        for run in (forward, forward_backward):
            ms, seconds, gib = measure(run, implementation, args, repeats, limit_gib)
            baseline.setdefault(run, ms)
            rows.append((name, run.__name__, implementation, ms, seconds, gib))
            print(row(rows[-1], baseline[run]), flush=True)
    return rows, failed


def row(values, baseline):
    name, run, implementation, ms, seconds, gib = values
    if ms is None:
        time_, ratio = "over limit", ""
    else:
        time_ = f"{ms:.2f}"
        ratio = f"{baseline / ms:.2f}x" if baseline else ""
    return (
        f"| {name:13} | {run:16} | {implementation:11} | {time_:>10} | {ratio:>7} "
        f"| {seconds:9.2f} | {gib:8.3f} |"
    )


def draw(rows, path):
    shapes = list(dict.fromkeys(r[0] for r in rows))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, run in zip(axes, ("forward", "forward_backward"), strict=True):
        for i, implementation in enumerate(IMPLEMENTATIONS):
            ms = {r[0]: r[3] for r in rows if r[1:3] == (run, implementation)}
            heights = [ms.get(shape) or 0.0 for shape in shapes]
            at = [j + 0.27 * (i - 1) for j in range(len(shapes))]
            axis.bar(at, heights, width=0.25, label=implementation)
        axis.set(title=run.replace("_", " + "), ylabel="ms", yscale="log")
        axis.set_xticks(range(len(shapes)), shapes)
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default=CPU_SHAPES, help="names, with commas")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--limit_gib", type=float, default=3.0, help="temporaries")
    parser.add_argument("--out", default=PICTURE, help="picture")
    flags = parser.parse_args(argv)
    names = flags.shapes.split(",")
    if unknown := [name for name in names if name not in ARG_SPECS]:
        parser.error(f"--shapes: unknown {unknown[0]!r}; known: {', '.join(ARG_SPECS)}")

    device = jax.devices()[0]
    print(
        f"{datetime.date.today()}, jax {jax.__version__}, {device.device_kind} "
        f"({platform.machine()}, {os.cpu_count()} cores), {flags.dtype}"
    )
    print(
        "| shape         | run              | by          |         ms | speed-up "
        "| compile s | temp GiB |\n|---|---|---|---|---|---|---|"
    )
    rows, failed = [], []
    for name in names:
        args = make_arguments(ARG_SPECS[name], dtype=flags.dtype)
        more, bad = bench(name, args, flags.repeats, flags.limit_gib)
        rows, failed = rows + more, failed + bad
    draw(rows, Path(flags.out))
    print(f"picture: {flags.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
