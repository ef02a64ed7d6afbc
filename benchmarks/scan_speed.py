"""Speed of every implementation of the selective scan, forward and with gradients.

    python benchmarks/scan_speed.py [--shapes=demo_feature,demo_visual] [--repeats=20]
    python benchmarks/scan_speed.py --shapes=gpu --dtype=float32,bfloat16 --json=PATH

Beside them mamba_ssm's CUDA kernel and a loop in PyTorch, where these can be imported.
Each must first agree with the reference in float32, outputs and all gradients, at the
shape that is timed; otherwise no time is printed for it and the exit code is 1. What
does not fit into memory is said and left out. Times are medians after a warm-up,
compilation apart; on a GPU of calls back to back over inputs that its caches cannot
hold. The copy bandwidth behind "of limit" is measured in the same run.
"""

import argparse
import datetime
import functools
import json
import os
import platform
import sys
from pathlib import Path

# Before jax is imported: the peers' process needs memory on the same device.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax  # noqa: E402  (environment first)
import scan_limits  # noqa: E402
import scan_process  # noqa: E402
import scan_report  # noqa: E402
import scan_timing  # noqa: E402
from rich.console import Console  # noqa: E402

from damamba_jax.kernels.selective_scan import (  # noqa: E402
    IMPLEMENTATIONS,
    describe,
    supports,
)
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS  # noqa: E402

PICTURE = "runs/benchmarks/scan_speed.png"
CPU_SHAPES = ("demo_feature", "demo_audio", "demo_visual", "paper_feature")
GPU_SHAPES = ("window_512", "window_1024", "window_large_batch", "sequence_2k",
              "sequence_8k", "recording_131k")  # fmt: skip
TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}


def bench(shape, dtype, flags):
    """Yields a row for each run of each implementation at one shape."""
    spec = ARG_SPECS[shape]
    sets = scan_timing.draw_sets(spec, dtype)
    gated, wanted = scan_timing.truth(sets[0], flags.limit_gib * 2**30)
    whole = gated is sets[0]
    case = describe(sets[0][0]["x"], sets[0][0]["a"])
    for by in flags.implementations:
        row = {"shape": shape, "dtype": dtype, "by": by}
        support = supports(by, case)
        if not support:
            yield row | {"note": f"left out: {support.reason}"}
            continue
        try:
            programs, errors = {}, {}
            for run in scan_timing.RUNS:
                programs[run] = scan_timing.build(run, by, gated)
                if over_limit(programs[run], flags):
                    break
                got = programs[run].call(*gated)
                errors[run] = scan_timing.disagreement(got, wanted[run])
                del got
            for run, error in errors.items():
                if not error <= TOLERANCES[dtype]:
                    note = f"{run} disagrees with reference: {error:.1e}"
                    yield row | {"failed": True, "note": note}
                    break
            else:
                for run, program in programs.items():
                    if not whole:
                        program = scan_timing.build(run, by, sets[0])
                    yield row | time_run(run, program, sets, by, flags) | {
                        "error": errors.get(run), "gated_on": gated[0]["x"].shape[:2],
                    }  # fmt: skip
        # Whatever one implementation raises, the others are still to be measured.
        except Exception as error:
            full = "RESOURCE_EXHAUSTED" in str(error)
            first = (str(error).strip().splitlines() or [""])[0]
            note = "out of memory" if full else f"{type(error).__name__}: {first}"
            yield row | {"failed": not full, "note": note}


def over_limit(program, flags):
    return program.temporary_bytes > flags.limit_gib * 2**30


def time_run(run, program, sets, by, flags):
    """Times one program; returns the fields of its row."""
    fields = {"run": run, "compile_s": program.compile_seconds}
    fields |= {"peak_bytes": program.peak_bytes}
    if over_limit(program, flags):
        gib = program.temporary_bytes / 2**30
        return fields | {"note": f"over limit: {gib:.1f} GiB of temporaries"}
    seconds = scan_timing.measure(
        program, sets, repeats=flags.repeats, seconds=flags.seconds
    )
    if run == "forward_backward":
        fields["kept_bytes"] = scan_timing.kept_bytes(by, sets[0])
    return fields | {"ms": 1e3 * seconds}


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = functools.partial(parser.add_argument)
    add("--shapes", help="names in arg_specs, with commas, or `gpu` for six; default "
        "small ones on a CPU and `gpu` elsewhere")  # fmt: skip
    add("--dtype", default="float32", help="float32, bfloat16, or both with a comma")
    add("--repeats", type=int, default=20, help="blocks of calls, at most")
    add("--seconds", type=float, default=2.0, help="for one row, about, at most")
    add("--limit_gib", type=float, help="temporaries; default 3 on a CPU, else 90 %% "
        "of the device's memory")  # fmt: skip
    add("--implementations", default=",".join(IMPLEMENTATIONS), help="with commas")
    add("--peers", default=",".join(scan_process.PEERS), help="with commas, or none")
    add("--copy_gb", type=float, help="size of the copy; default 0.25 on a CPU, else 4")
    add("--exp2_per_second", type=float, help="of a device that the table in "
        "scan_limits.py does not know")  # fmt: skip
    add("--out", default=PICTURE, help="picture")
    add("--json", help="results as numbers; default beside the picture")
    flags = parser.parse_args(argv)
    cpu = jax.default_backend() == "cpu"
    if flags.shapes is None:
        flags.shapes = ",".join(CPU_SHAPES if cpu else GPU_SHAPES)
    if flags.limit_gib is None:
        stats = {} if cpu else jax.devices()[0].memory_stats()
        flags.limit_gib = 0.9 * stats["bytes_limit"] / 2**30 if stats else 3.0
    flags.copy_gb = flags.copy_gb or (0.25 if cpu else 4.0)
    flags.shapes = (
        list(GPU_SHAPES) if flags.shapes == "gpu" else flags.shapes.split(",")
    )
    flags.dtype = flags.dtype.split(",")
    flags.implementations = flags.implementations.split(",")
    flags.peers = [] if flags.peers == "none" else flags.peers.split(",")
    for name, known in (
        ("shapes", ARG_SPECS), ("dtype", TOLERANCES), ("peers", scan_process.PEERS),
        ("implementations", IMPLEMENTATIONS),
    ):  # fmt: skip
        for given in getattr(flags, name):
            if given not in known:
                parser.error(f"--{name}: unknown {given!r}; known: {', '.join(known)}")
    return flags


def main(argv=None):
    flags = parse(argv)
    device = jax.devices()[0]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    # First, while this process holds hardly any memory of the device.
    rows = scan_process.run_peers(flags, TOLERANCES)
    limits = scan_limits.Limits(
        copy_rate=scan_limits.measure_copy_rate(num_bytes=int(flags.copy_gb * 1e9)),
        exponential_rate=flags.exp2_per_second
        or scan_limits.exponential_rate(device.device_kind),
    )
    setting = {
        "date": str(datetime.date.today()),
        "device": device.device_kind,
        "host": f"{platform.machine()}, {os.cpu_count()} cores",
        "jax": jax.__version__,
        "python": platform.python_version(),
        "copy_bytes_per_second": limits.copy_rate,
        "exponentials_per_second": limits.exponential_rate,
        "tolerances": TOLERANCES,
    }
    path = Path(flags.json or Path(flags.out).with_suffix(".json"))
    console.print(scan_report.heading(setting), soft_wrap=True)
    for row in rows:
        if "ms" not in row:
            console.print(scan_report.remark(row), soft_wrap=True)
    for dtype in flags.dtype:
        for shape in flags.shapes:
            for row in bench(shape, dtype, flags):
                rows.append(row)
                if "ms" not in row:
                    console.print(scan_report.remark(row), soft_wrap=True)
            table = scan_report.table(rows, shape, dtype, limits, device.device_kind)
            console.print(table.to_rich())
            path.parent.mkdir(parents=True, exist_ok=True)
            tree = {"setting": setting, "rows": rows}
            path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
    scan_report.draw(rows, Path(flags.out))
    console.print(f"picture: {flags.out}; numbers: {path}", soft_wrap=True)
    return 1 if any(row.get("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
