"""Speed of every implementation of the selective scan, forward and with gradients.

    python -m benchmarks.scan.speed [--shapes=demo_feature,demo_visual] [--repeats=20]
    python -m benchmarks.scan.speed --shapes=gpu --dtype=float32,bfloat16 --json=PATH

The command also times mamba_ssm's CUDA kernel and a loop in PyTorch, if they can be
imported. Each implementation must first agree with the reference in float32, in outputs
and all gradients, at the shape that is timed. Otherwise no time is printed for it, and
the exit code is 1. Runs that do not fit into memory are named and left out.

Times are medians after a warm-up, without compilation. On a GPU the calls follow each
other without a pause, over inputs that are too large for its caches. The copy bandwidth
behind the column "of limit" is measured in the same run.
"""

import argparse
import datetime
import functools
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from benchmarks.scan import limits, peers, report, timing
from benchmarks.scan.limits import Limits
from damamba_jax.errors import nearest
from damamba_jax.files import write_json
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS, describe, supports
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS
from damamba_jax.runtime.command import make_console, run
from damamba_jax.runtime.parser import Parser, number, some_of, split_names, whole
from damamba_jax.runtime.stop import StopRequest

PICTURE = "runs/benchmarks/scan_speed.png"
CPU_SHAPES = ("demo_feature", "demo_audio", "demo_visual", "paper_feature")
GPU_SHAPES = ("window_512", "window_1024", "window_large_batch", "sequence_2k",
              "sequence_8k", "recording_131k")  # fmt: skip
TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}

Row = dict[str, Any]


def bench(shape: str, dtype: str, flags: argparse.Namespace) -> Iterator[Row]:
    """Yields a row for each run of each implementation at one shape."""
    sets = timing.draw_sets(ARG_SPECS[shape], dtype)
    gated, wanted = timing.truth(sets[0], flags.limit_gib * 2**30)
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
            for name in timing.RUNS:
                programs[name] = timing.build(name, by, gated)
                if _is_over_limit(programs[name], flags):
                    break
                got = programs[name].call(*gated)
                errors[name] = timing.disagreement(got, wanted[name])
                del got
            for name, error in errors.items():
                if not error <= TOLERANCES[dtype]:
                    note = f"{name} disagrees with reference: {error:.1e}"
                    yield row | {"failed": True, "note": note}
                    break
            else:
                for name, program in programs.items():
                    if not whole:
                        program = timing.build(name, by, sets[0])
                    yield row | _time_run(name, program, sets, by, flags) | {
                        "error": errors.get(name), "gated_on": gated[0]["x"].shape[:2],
                    }  # fmt: skip
        # After an exception in one implementation, the others are still measured.
        except Exception as error:
            full = "RESOURCE_EXHAUSTED" in str(error)
            first = (str(error).strip().splitlines() or [""])[0]
            note = "out of memory" if full else f"{type(error).__name__}: {first}"
            yield row | {"failed": not full, "note": note}


def _is_over_limit(program: timing.Program, flags: argparse.Namespace) -> bool:
    return program.temporary_bytes > flags.limit_gib * 2**30


def _time_run(
    name: str,
    program: timing.Program,
    sets: Sequence[timing.Inputs],
    by: str,
    flags: argparse.Namespace,
) -> Row:
    """Times one program and returns the fields of its row."""
    fields: Row = {"run": name, "compile_s": program.compile_seconds}
    fields |= {"peak_bytes": program.peak_bytes}
    if _is_over_limit(program, flags):
        gib = program.temporary_bytes / 2**30
        return fields | {"note": f"over limit: {gib:.1f} GiB of temporaries"}
    seconds = timing.measure(
        program, sets, repeats=flags.repeats, seconds=flags.seconds
    )
    if name == "forward_backward":
        fields["kept_bytes"] = timing.kept_bytes(by, sets[0])
    return fields | {"ms": 1e3 * seconds}


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("python -m benchmarks.scan.speed", __doc__)
    for name, kind, default, text in (
        ("shapes", split_names, None, "names of shapes in arg_specs, with commas, or "
         "`gpu` for six large ones; default: small shapes on a CPU, `gpu` elsewhere"),
        ("dtype", some_of(*TOLERANCES), ["float32"], "types, with commas"),
        ("repeats", whole(1), 20, "largest number of timed blocks of calls"),
        ("seconds", number(0.0), 2.0, "seconds that one row takes at most, roughly"),
        ("limit_gib", number(0.0), None, "largest memory of temporaries, in GiB; "
         "default: 3 on a CPU, 90 %% of the device's memory elsewhere"),
        ("implementations", some_of(*IMPLEMENTATIONS), list(IMPLEMENTATIONS),
         "names of implementations, with commas"),
        ("peers", some_of(*peers.PEERS, "none"), list(peers.PEERS),
         "names of scans in PyTorch, with commas, or none"),
        ("copy_gb", number(0.0), None, "size of the copy that measures the bandwidth, "
         "in GB; default: 0.25 on a CPU, 4 elsewhere"),
        ("exp2_per_second", number(0.0), None, "exponentials per second of the device, "
         "if the table in limits.py does not know it"),
        ("out", str, PICTURE, "file of the picture"),
        ("json", str, None, "file of the results as numbers; default: a file beside "
         "the picture"),
    ):  # fmt: skip
        metavar = "FILE" if kind is str else "X"
        parser.add_argument(
            f"--{name}", type=kind, default=default, metavar=metavar, help=text
        )
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the flags. Some defaults depend on the device."""
    flags = make_parser().parse(argv)
    cpu = jax.default_backend() == "cpu"
    if flags.shapes is None:
        flags.shapes = list(CPU_SHAPES if cpu else GPU_SHAPES)
    if flags.shapes == ["gpu"]:
        flags.shapes = list(GPU_SHAPES)
    if flags.limit_gib is None:
        stats = {} if cpu else jax.devices()[0].memory_stats()
        flags.limit_gib = 0.9 * stats["bytes_limit"] / 2**30 if stats else 3.0
    flags.copy_gb = flags.copy_gb or (0.25 if cpu else 4.0)
    flags.peers = [name for name in flags.peers if name != "none"]
    for name in flags.shapes:
        if name not in ARG_SPECS:
            make_parser().error(
                f"`--shapes`: unknown shape {name!r}{nearest(name, ARG_SPECS)}"
            )
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    # This is set before jax starts, because the peers' process needs memory on the same
    # device.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    console = make_console(width=None if sys.stdout.isatty() else 160)
    return run(functools.partial(_run, _parse(argv)), console=console)


def _run(flags: argparse.Namespace, stop: StopRequest, console: Console) -> int:
    # A signal ends the process at once, because every finished shape is on disk.
    del stop
    device = jax.devices()[0].device_kind
    # The peers run first, while this process holds hardly any memory of the device.
    rows = peers.run_peers(flags, TOLERANCES)
    rates = Limits(
        copy_rate=limits.measure_copy_rate(num_bytes=int(flags.copy_gb * 1e9)),
        exponential_rate=flags.exp2_per_second or limits.exponential_rate(device),
    )
    setting = _setting(device, rates)
    path = Path(flags.json or Path(flags.out).with_suffix(".json"))
    console.print(report.heading(setting))
    _print_remarks(rows, console)
    for dtype in flags.dtype:
        for shape in flags.shapes:
            for row in bench(shape, dtype, flags):
                rows.append(row)
                _print_remarks([row], console)
            table = report.table(rows, shape, dtype, rates, device)
            console.print(table.to_rich(), soft_wrap=False)
            write_json(path, {"setting": setting, "rows": rows})
    report.draw(rows, Path(flags.out))
    console.print(f"picture: {flags.out}; numbers: {path}")
    return 1 if any(row.get("failed") for row in rows) else 0


def _setting(device: str, rates: Limits) -> dict[str, Any]:
    return {
        "date": str(datetime.date.today()),
        "device": device,
        "host": f"{platform.machine()}, {os.cpu_count()} cores",
        "jax": jax.__version__,
        "python": platform.python_version(),
        "copy_bytes_per_second": rates.copy_rate,
        "exponentials_per_second": rates.exponential_rate,
        "tolerances": TOLERANCES,
    }


def _print_remarks(rows: Sequence[Row], console: Console) -> None:
    for row in rows:
        if "ms" not in row:
            console.print(report.remark(row))


if __name__ == "__main__":
    sys.exit(main())
