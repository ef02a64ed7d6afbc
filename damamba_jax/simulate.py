"""Writes a simulated corpus and the scores of its oracle.

    python -m damamba_jax.simulate --out=DIR [--preset=demo] [--seed=0]

The corpus has the layout and the formats of the released ones and is marked as
simulated. The oracle's table (the highest score that anybody can expect on it) is
printed and stored as DIR/oracle/table.md and DIR/oracle/table.json.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from damamba_jax.data.oracle import table as oracle_table
from damamba_jax.data.simulated import write as simulated_write
from damamba_jax.data.simulated.presets import PRESETS, Preset, get_preset
from damamba_jax.runtime.progress import ProgressLine

# Flags of this command alone, so that importing it defines none for other commands.
_FLAGS = flags.FlagValues()
_OUT = flags.DEFINE_string("out", "", "New or empty folder.", flag_values=_FLAGS)
_PRESET = flags.DEFINE_string(
    "preset", "demo", f"One of {', '.join(PRESETS)}.", flag_values=_FLAGS
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of all draws.", lower_bound=0, flag_values=_FLAGS
)
_HELP = flags.DEFINE_boolean("help", False, "Shows this text.", flag_values=_FLAGS)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    _FLAGS.unparse_flags()
    try:
        rest = _FLAGS(list(argv))
        if _HELP.value:
            print(f"{__doc__}\n{_FLAGS.get_help()}\n\n{_list_presets()}")
            return 0
        if len(rest) > 1:
            raise ValueError(f"expected flags only, got {rest[1]!r}; use --out=DIR.")
        if not _OUT.value:
            raise ValueError("`--out`: expected a new folder, got nothing.")
        _write(Path(_OUT.value), _PRESET.value, _SEED.value)
    except (flags.Error, ValueError, OSError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    return 0


def _write(out: Path, name: str, seed: int) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
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
