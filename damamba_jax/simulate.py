"""Writes a simulated corpus and the scores of its oracle.

    python -m damamba_jax.simulate --out=DIR [--preset=demo] [--seed=0]

The corpus has the layout and the formats of the released ones and is marked as
simulated. The oracle's table (the highest score that anybody can expect on it) is
printed and stored as DIR/oracle/table.md and DIR/oracle/table.json.
"""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from damamba_jax.data.oracle import table as oracle_table
from damamba_jax.data.simulated import write as simulated_write
from damamba_jax.data.simulated.presets import PRESETS, Preset, get_preset
from damamba_jax.errors import ConfigError
from damamba_jax.runtime.command import read_flags, run
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    console = Console(highlight=False, markup=False, emoji=False)
    run(functools.partial(_simulate, argv), console=console)
    return 0


def _simulate(argv: Sequence[str], stop: StopRequest, console: Console) -> None:
    # The file that marks a corpus is written last: without `protect` a signal ends
    # the process at once, and leaves a folder that is known to be unfinished.
    del stop
    values = flags.FlagValues()
    flags.DEFINE_string("out", "", "New or empty folder.", flag_values=values)
    flags.DEFINE_string(
        "preset", "demo", f"One of {', '.join(PRESETS)}.", flag_values=values
    )
    flags.DEFINE_integer("seed", 0, "Of all draws.", lower_bound=0, flag_values=values)
    read_flags(values, argv, f"{__doc__}\n{_list_presets()}\n")
    if not values.out:
        raise ConfigError("`--out`: expected a new folder, got nothing.")
    _write(Path(values.out), values.preset, values.seed, console)


def _write(out: Path, name: str, seed: int, console: Console) -> None:
    print(f"simulated: {_summary(name, get_preset(name))}; seed {seed}")
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
    print(f"\n{oracle_table.to_text(table)}\nsimulated: written to {out}")


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
    sys.exit(main(sys.argv))
