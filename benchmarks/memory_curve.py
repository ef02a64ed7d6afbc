"""Peak memory of one training step against sequence length.

    python benchmarks/memory_curve.py                       # the paper's configuration
    python benchmarks/memory_curve.py --lengths=all         # 64 ... 8192
    python benchmarks/memory_curve.py --config=configs/noxi.py:demo --batch_size=8

Parameters, optimizer, moving average and input are included; the whole batch goes
through in one pass. Every length runs in a fresh process. On a CPU the figure is XLA's
own account of the compiled step, and nothing is allocated: good for slopes, but two to
four times what a GPU takes. On a GPU the step runs, and the peak of its allocator
stands beside the compiled figure, and its time.

    python benchmarks/memory_curve.py --max_gb=24 --lengths=8192

searches for the longest window that one step of a single window can be trained on.

No figure is printed unless a step of the measured configuration runs and its loss
equals that without rematerialisation, by the reference scan. The exit code is 1 if it
does not, or if a doubling from 256 frames on multiplies the peak by more than
--max_ratio. Writes a table (Markdown), the same as JSON, and a picture.

The default is the paper's configuration at four lengths, about 7 minutes on two shared
cores; all ten lengths took 14 there: 2.4 for the check and 1.2 for each length. Smaller
configurations compile hardly faster.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import memory_report
import step_process
from absl import flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.command_line import USER_ERRORS, find_config_file
from damamba_jax.config import Config, from_config_dict
from damamba_jax.progress import ProgressLine

LENGTHS = (64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)
DEFAULT_CONFIG = "configs/noxi.py"
DEFAULT_LENGTHS = "256,512,1024,2048"
# A search for the longest window ends here at the latest.
MOST_FRAMES = 2**20


def measure(
    config: Config,
    lengths: Sequence[int],
    *,
    device: str,
    console: Console,
    max_bytes: float | None = None,
) -> list[dict[str, Any]]:
    """Checks the step and measures every length, each in a process of its own.

    Args:
      config: what is trained.
      lengths: in frames, ascending.
      device: `"auto"`, `"cpu"` or `"gpu"`.
      console: for progress.
      max_bytes: if given, the last length doubles for as long as its peak is within.

    Raises:
      BenchmarkError: if the check or a process fails.
    """
    rows: list[dict[str, Any]] = []
    device = step_process.find_device(device, config)
    with ProgressLine(
        "memory", console, unit="compilations", every_seconds=0.0
    ) as tell:
        console.print("parity: compiling two steps", highlight=False)
        parity = step_process.check_parity(config, device)
        waiting = list(lengths)
        while waiting:
            length = waiting.pop(0)
            total = len(rows) + len(waiting) + 2
            tell(len(rows) + 1, total, note=f"{length} frames")
            request = {"task": "measure", "length": length}
            rows.append({**step_process.run(request, config, device), "parity": parity})
            if max_bytes is not None and not waiting and length < MOST_FRAMES:
                peak = memory_report.peak(rows[-1])
                waiting = [2 * length] * (peak is not None and peak <= max_bytes)
        tell(len(rows) + 1, len(rows) + 1)
    return rows


def _flags(argv: list[str]) -> flags.FlagValues:
    """Defines the flags; `argv` says which fields of `--config` are set."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, f"Configuration; default {DEFAULT_CONFIG}. Fields as in "
        "training, e.g. --config.model.dim=64.", flag_values=values, sys_argv=argv,
    )  # fmt: skip
    flags.DEFINE_integer(
        "batch_size", 0, "Windows; 0: as in training.", lower_bound=0,
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "lengths", DEFAULT_LENGTHS, "Frames, with commas, or `all`.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_enum(
        "platform", "auto", ["auto", "cpu", "gpu"], "Device.", flag_values=values
    )
    flags.DEFINE_float(
        "max_gb", None, "Go on doubling the last length while the peak is at most so "
        "many GB (10^9 bytes), and say what fits; --batch_size is 1 by default then.",
        lower_bound=0.0, flag_values=values,
    )  # fmt: skip
    flags.DEFINE_float(
        "max_ratio", 2.1, "Growth allowed per doubling from 256.", flag_values=values
    )
    flags.DEFINE_string(
        "out", "runs/benchmarks/memory_curve.png", "Picture; tables beside it.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean("help", False, "Shows this text.", flag_values=values)
    return values


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    given = list(argv)
    if not any(a.split("=")[0] in ("--config", "-config") for a in given):
        given.insert(1, f"--config={DEFAULT_CONFIG}")
    given = find_config_file(given)
    try:
        chosen = _flags(given)
        try:
            rest = chosen(given)
        except AttributeError as error:  # ml_collections: no such field
            raise ValueError(f"`--config`: {error}") from error
        if chosen.help:
            print(f"{__doc__}\n{chosen.get_help()}")
            return 0
        if len(rest) > 1:
            raise ValueError(f"expected flags only, got {rest[1]!r}.")
        lengths = step_process.parse_lengths(chosen.lengths, {"all": LENGTHS})
        config = from_config_dict(chosen.config)
        max_bytes = None if chosen.max_gb is None else 1e9 * chosen.max_gb
        usual = config.train.batch_size if max_bytes is None else 1
        size = chosen.batch_size or usual
        config = dataclasses.replace(
            config, train=dataclasses.replace(config.train, batch_size=size)
        )
        rows = measure(
            config,
            lengths,
            device=chosen.platform,
            console=Console(stderr=True),
            max_bytes=max_bytes,
        )
    except (
        step_process.BenchmarkError,
        flags.Error,
        ValueError,
        OSError,
        *USER_ERRORS,
    ) as error:
        print(f"memory_curve: {error}", file=sys.stderr)
        return 1
    return publish(rows, config, Path(chosen.out), chosen.max_ratio, max_bytes)


def publish(
    rows: Sequence[Mapping[str, Any]],
    config: Config,
    out: Path,
    max_ratio: float,
    max_bytes: float | None = None,
) -> int:
    """Prints and writes what was measured; returns the exit code."""
    wide = None if sys.stdout.isatty() else 120
    console = Console(highlight=False, width=wide)
    parity, peaks = rows[0]["parity"], memory_report.peaks(rows)
    growth, fit = memory_report.ratios(peaks), memory_report.fit_growth(peaks)
    console.print(
        f"parity: loss {parity['loss']:.7f}; without remat, reference scan "
        f"{parity['other_loss']:.7f} (allowed: {parity['tolerance']:g})"
    )
    made = memory_report.table(rows, config, max_ratio, max_bytes)
    console.print(made.to_rich())
    memory_report.draw(out, rows, config, max_ratio)
    out.with_suffix(".md").write_text(made.to_markdown(), encoding="utf-8")
    tree = {
        "config": dataclasses.asdict(config),
        "rows": list(rows),
        "ratios": {str(n): ratio for n, ratio in growth.items()},
        "fit": fit and fit._asdict(),
        "longest": max_bytes and memory_report.longest(rows, max_bytes)._asdict(),
        "for_slopes_only": rows[0]["platform"] == "cpu",
        "notes": made.notes,
    }
    out.with_suffix(".json").write_text(
        json.dumps(tree, indent=2, allow_nan=False) + "\n", encoding="utf-8"
    )
    console.print(f"picture: {out}; tables beside it (.md, .json)")
    return 0 if memory_report.verdict(growth, max_ratio)[0] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
