"""Time and memory of one training step, by scan, precision, rematerialisation, length.

    python benchmarks/train_step.py                              # the paper's step
    python benchmarks/train_step.py --scans=best,chunked --precisions=float32,bfloat16
    python benchmarks/train_step.py --remat=on,off --lengths=64,96,192 --batch_size=64

The step of `configs/noxi.py` as training runs it (forward, backward, AdamW, moving
average) on a batch of noise of the real shapes; no corpus is needed. Each row runs in a
fresh process: median of --repeats steps after three, the peak of a GPU's allocator over
these three, and seconds of compilation. A scan and a precision get no figure unless a
step agrees with the one by the reference scan. A row that fails or does not fit says
so, and the others go on; the exit code is 1 if one failed. Writes a table (Markdown),
the same as JSON, and a picture.
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import step_process
import train_report
from absl import flags
from ml_collections import config_flags
from rich.console import Console
from step_process import BenchmarkError

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS
from damamba_jax.runtime.command import USER_ERRORS
from damamba_jax.runtime.config_files import find_config_file
from damamba_jax.runtime.progress import ProgressLine

DEFAULT_CONFIG = "configs/noxi.py"
BEST = "best"
PRECISIONS = ("float32", "bfloat16")


class Variant(NamedTuple):
    """What tells one row from another.

    Attributes:
      scan: name of an implementation; `"best"` leaves the choice to the device.
      precision: the precision of the computation.
      remat: whether blocks are computed again in the backward pass.
      length: frames of a window.
    """

    scan: str
    precision: str
    remat: bool
    length: int

    def configure(self, config: Config) -> Config:
        model = dataclasses.replace(
            config.model,
            scan="" if self.scan == BEST else self.scan,
            compute_dtype=self.precision,
            remat=self.remat,
        )
        return dataclasses.replace(config, model=model)


def measure(
    config: Config,
    variants: Sequence[Variant],
    *,
    device: str,
    repeats: int,
    jobs: int,
    console: Console,
) -> Iterator[dict[str, Any]]:
    """Checks every scan and precision once, and yields rows as they are done.

    Args:
      jobs: checks and rows that compile side by side; steps run one at a time.

    Raises:
      BenchmarkError: if there is no such device.
    """
    device = step_process.find_device(device, config)
    with (
        ProgressLine("steps", console, unit="rows", every_seconds=0.0) as tell,
        ThreadPoolExecutor(jobs) as pool,
    ):

        def check(chosen):
            try:
                return {"parity": step_process.check_parity(chosen, device)}
            except BenchmarkError as error:
                return {"failed": True, "note": str(error)}

        def run(variant):
            asked = {**variant._asdict(), "batch_size": config.train.batch_size}
            row = dict(asked)
            try:
                row |= step_process.measure(
                    variant.configure(config), device, length=variant.length,
                    beside_others=jobs > 1, run_on_cpu=True, repeats=repeats,
                )  # fmt: skip
            except BenchmarkError as error:
                row |= {"failed": True, "note": str(error)}
            else:
                if not row["step_ms"]:
                    row["note"] = "out of memory"
            # Compiled meanwhile; without its check, nothing of a row is shown.
            checked = checks[variant[:2]].result()
            return row | checked if "parity" in checked else asked | checked

        tell(0, len(variants), note="checks")
        first = {}
        for variant in variants:
            first.setdefault(variant[:2], variant)
        checks = {
            key: pool.submit(check, variant.configure(config))
            for key, variant in first.items()
        }
        rows = [pool.submit(run, variant) for variant in variants]
        for done, row in enumerate(as_completed(rows), start=1):
            tell(done, len(variants))
            yield row.result()


def _choose(name: str, text: str, known: Sequence[str]) -> list[str]:
    chosen = text.split(",")
    for value in chosen:
        if value not in known:
            raise ValueError(
                f"`--{name}`: expected some of {', '.join(known)}, with commas, got "
                f"{value!r}."
            )
    return chosen


def _flags(argv: list[str]) -> flags.FlagValues:
    """Defines the flags; `argv` says which fields of `--config` are set."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, f"Configuration; default {DEFAULT_CONFIG}. Fields as in "
        "training, e.g. --config.model.dim=64.", flag_values=values, sys_argv=argv,
    )  # fmt: skip
    known = ", ".join((BEST, *IMPLEMENTATIONS))
    for name, default, text in (
        ("scans", BEST, f"Implementations, with commas: {known}."),
        ("precisions", "float32", f"With commas: {', '.join(PRECISIONS)}."),
        ("remat", "on", "on, off, or both with a comma."),
        ("lengths", "96", "Frames, with commas."),
        ("out", "runs/benchmarks/train_step.png", "Picture; tables beside it."),
    ):
        flags.DEFINE_string(name, default, text, flag_values=values)
    for name, default, text in (
        ("batch_size", 0, "Windows; 0: as in training."),
        ("repeats", 10, "Timed steps, at most; fewer once they took 20 s."),
        ("jobs", 1, "Rows that compile side by side; steps run one at a time."),
    ):
        flags.DEFINE_integer(name, default, text, lower_bound=0, flag_values=values)
    flags.DEFINE_enum(
        "platform", "auto", ["auto", "cpu", "gpu"], "Device.", flag_values=values
    )
    flags.DEFINE_boolean("help", False, "Shows this text.", flag_values=values)
    return values


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    given = list(argv)
    if not any(a.split("=")[0] in ("--config", "-config") for a in given):
        given.insert(1, f"--config={DEFAULT_CONFIG}")
    given = find_config_file(given)
    rows: list[dict[str, Any]] = []
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
        switches = _choose("remat", chosen.remat, ("on", "off"))
        variants = [
            Variant(scan, precision, remat == "on", length)
            for scan, precision, remat, length in itertools.product(
                _choose("scans", chosen.scans, (BEST, *IMPLEMENTATIONS)),
                _choose("precisions", chosen.precisions, PRECISIONS),
                switches,
                step_process.parse_lengths(chosen.lengths, {}),
            )
        ]
        config = from_config_dict(chosen.config)
        size = chosen.batch_size or config.train.batch_size
        config = dataclasses.replace(
            config, train=dataclasses.replace(config.train, batch_size=size)
        )
        for row in measure(
            config, variants, device=chosen.platform, repeats=max(1, chosen.repeats),
            jobs=max(1, chosen.jobs), console=Console(stderr=True),
        ):  # fmt: skip
            rows.append(row)
            rows.sort(
                key=lambda row: variants.index(Variant(*map(row.get, Variant._fields)))
            )
            # After every row: a machine may be taken away before the last one.
            publish(rows, config, Path(chosen.out))
    except (BenchmarkError, flags.Error, ValueError, OSError, *USER_ERRORS) as error:
        print(f"train_step: {error}", file=sys.stderr)
        return 1
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(train_report.table(rows, config).to_rich())
    console.print(f"picture: {chosen.out}; tables beside it (.md, .json)")
    return 1 if any(row.get("failed") for row in rows) else 0


def publish(rows: Sequence[dict[str, Any]], config: Config, out: Path) -> None:
    """Writes what was measured so far."""
    train_report.draw(out, rows, config)
    made = train_report.table(rows, config)
    out.with_suffix(".md").write_text(made.to_markdown(), encoding="utf-8")
    tree = {"config": dataclasses.asdict(config), "rows": list(rows)}
    out.with_suffix(".json").write_text(
        json.dumps(tree, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv))
