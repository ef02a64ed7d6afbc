"""Writes a simulated corpus and the scores of its oracle.

    damamba simulate --out=DIR [--preset=demo] [--seed=0]

The corpus has the layout and the formats of the released corpora, and is marked as
simulated. The oracle's table shows the highest score that any estimator can expect on
this corpus. It is printed, and stored as DIR/oracle/table.md and DIR/oracle/table.json.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.data.simulated.presets import PRESETS, Preset, get_preset
from damamba_jax.runtime.command import make_console, run
from damamba_jax.runtime.parser import Parser, one_of, whole
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    # The file that marks a corpus is written last. So nothing is under `protect`: a
    # signal ends the process at once, and leaves a folder that is known as unfinished.
    run(functools.partial(_simulate, options), console=make_console())
    return 0


def _simulate(options: argparse.Namespace, stop: StopRequest, console: Console) -> None:
    del stop
    # SciPy takes a second to import; `--help` and a wrong flag do not wait for it.
    from damamba_jax.data.oracle import table as oracle_table
    from damamba_jax.data.simulated import write as simulated_write

    out, name, seed = Path(options.out), options.preset, options.seed
    console.print(f"simulated: {_summary(name, get_preset(name))}; seed {seed}")
    with ProgressLine(
        "writing", console, unit="recordings", every_seconds=2.0
    ) as progress:
        simulated_write.write_corpus(
            out,
            name,
            seed=seed,
            progress=lambda step: progress(step.done, step.total),
        )
    with ProgressLine("oracle", console, unit="spans", every_seconds=2.0) as progress:
        table = oracle_table.build_table(out, progress=progress)
    oracle_table.write_table(out, table)
    console.print(f"\n{oracle_table.to_text(table)}\nsimulated: written to {out}")


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("simulate", f"{__doc__}\n{_list_presets()}")
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="new or empty folder")
    add(
        "--preset", type=one_of(*PRESETS), default="demo", metavar="NAME",
        help="number and length of the sessions; default: demo",
    )  # fmt: skip
    add(
        "--seed", type=whole(0), default=0, metavar="N",
        help="seed of all random numbers; default: 0",
    )  # fmt: skip
    return parser


def _list_presets() -> str:
    lines = [_summary(name, preset) for name, preset in PRESETS.items()]
    return "\n".join(["presets:", *(f"  {line}" for line in lines)])


def _summary(name: str, preset: Preset) -> str:
    splits = ", ".join(
        f"{split.name} {split.sessions} x {split.seconds:g} s"
        for split in preset.splits
    )
    columns = sum(preset.dims.values())
    return f"{name}: {splits}; {columns} columns, {preset.num_bytes / 1e6:.0f} MB"


if __name__ == "__main__":
    sys.exit(main())
