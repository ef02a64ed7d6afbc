"""Time and memory of a step, by scan, precision, rematerialisation and length.

    python -m benchmarks.step.variants                          # the paper's step
    python -m benchmarks.step.variants --scans=best,chunked --remat=on,off
    python -m benchmarks.step.variants --precisions=float32,bfloat16 --lengths=64,96,192

The step is that of `configs/noxi.py`, as training runs it (forward, backward, AdamW,
moving average). Its input is a batch of noise in the real shapes, so no corpus is
needed. Each row runs in a new process. A row has the median time of --repeats steps,
the peak of a GPU's allocator over the three steps before them, and the seconds of
compilation. A scan and a precision get no figure unless their step agrees with a step
of the reference scan. If a row fails or does not fit into memory, the table says so and
the other rows go on. The exit code is 1 if a row failed.

The command writes a table (Markdown), the same table as JSON, and a picture. The rows
are kept in a folder beside these files. If the command was interrupted, the same
command continues from these rows, as long as the code is the same.
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from benchmarks.step import command, process, variants_report
from benchmarks.step.process import BenchmarkError
from benchmarks.step.steps import Steps
from damamba_jax.config.sections import Config
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.errors import ConfigError, UsageError
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS
from damamba_jax.runtime.parser import Parser, whole
from damamba_jax.runtime.progress import ProgressLine

DEFAULT_CONFIG = "configs/noxi.py"
BEST = "best"
PRECISIONS = ("float32", "bfloat16")

Row = dict[str, Any]


class Variant(NamedTuple):
    """The settings in which rows differ.

    Attributes:
      scan: the name of an implementation; `"best"` means the best one for the device.
      precision: the precision of the computation.
      remat: whether the backward pass computes blocks again.
      length: the number of frames of a window.
    """

    scan: str
    precision: str
    remat: bool
    length: int

    def configure(self, config: Config) -> Config:
        """Sets scan, precision and rematerialisation of a configuration.

        Raises:
          ConfigError: if the system has no rematerialisation, or no scan to choose.
        """
        changes = {"compute_dtype": self.precision, "remat": self.remat}
        if self.scan != BEST or isinstance(config.model, DAMambaConfig):
            changes["scan"] = "" if self.scan == BEST else self.scan
        known = {field.name for field in dataclasses.fields(config.model)}
        if absent := changes.keys() - known:
            raise ConfigError(
                f"`--config`: expected a system with the fields {', '.join(changes)}, "
                f"got {config.model.system}, which has no {' and '.join(absent)}."
            )
        model = dataclasses.replace(config.model, **changes)
        return dataclasses.replace(config, model=model)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return command.start(_run, argv)


def _run(argv: Sequence[str], console: Console) -> int:
    chosen, config = command.read_one(argv, make_parser(), default=DEFAULT_CONFIG)
    variants, out = _choose_variants(chosen), Path(chosen.out)
    steps = Steps(
        process.find_device(chosen.platform, config),
        folder=out.with_suffix(""),
        beside_others=chosen.jobs > 1,
        run_on_cpu=True,
        repeats=max(1, chosen.repeats),
    )
    rows: list[Row] = []
    for row in measure(config, variants, steps, jobs=chosen.jobs, console=console):
        rows.append(row)
        rows.sort(
            key=lambda row: variants.index(Variant(*(row[k] for k in Variant._fields)))
        )
        # The table is written after every row, because a machine may be taken away
        # before the last row.
        tree = {"config": dataclasses.asdict(config), "rows": rows}
        command.write(variants_report.table(rows, config), tree, out)
    variants_report.draw(out, rows, config)
    command.show(variants_report.table(rows, config), out, columns=120, lines=())
    return 1 if any(row.get("failed") for row in rows) else 0


def measure(
    config: Config,
    variants: Sequence[Variant],
    steps: Steps,
    *,
    jobs: int,
    console: Console,
) -> Iterator[Row]:
    """Checks every scan and precision once, and yields rows as they are done.

    Args:
      config: the configuration whose step is measured.
      variants: one variant for each row.
      steps: the object that gives checks and rows.
      jobs: the number of checks and rows that compile side by side. Steps run one at a
        time.
      console: the console that shows progress.

    Raises:
      ConfigError: if the system has no rematerialisation, or no scan to choose.
    """
    configs = {variant: variant.configure(config) for variant in variants}
    first: dict[tuple[str, str], Variant] = {}
    for variant in variants:
        first.setdefault(variant[:2], variant)
    with (
        ProgressLine("steps", console, unit="rows", every_seconds=0.0) as tell,
        ThreadPoolExecutor(jobs) as pool,
    ):
        tell(0, len(variants), note="checks")
        checks = {
            key: pool.submit(_check, steps, configs[variant])
            for key, variant in first.items()
        }
        rows = [
            pool.submit(_measure_row, steps, chosen, variant, checks[variant[:2]])
            for variant, chosen in configs.items()
        ]
        for done, row in enumerate(as_completed(rows), start=1):
            tell(done, len(variants))
            yield row.result()


def _check(steps: Steps, config: Config) -> Row:
    try:
        return {"parity": steps.check(config)}
    except BenchmarkError as error:
        return {"failed": True, "note": str(error)}


def _measure_row(
    steps: Steps, config: Config, variant: Variant, check: Future[Row]
) -> Row:
    """Measures a variant while its check runs. If the check fails, nothing is shown."""
    asked = {**variant._asdict(), "batch_size": config.train.batch_size}
    try:
        row = asked | steps.measure(config, variant.length)
    except BenchmarkError as error:
        row = {**asked, "failed": True, "note": str(error)}
    else:
        if row["step_ms"] is None:
            row["note"] = "out of memory"
    checked = check.result()
    return row | checked if "parity" in checked else asked | checked


def _choose_variants(chosen: argparse.Namespace) -> list[Variant]:
    """Returns all variants that the flags name.

    Raises:
      UsageError: if a flag has an unknown value.
    """
    known: Mapping[str, Sequence[str]] = {
        "scans": (BEST, *IMPLEMENTATIONS),
        "precisions": PRECISIONS,
        "remat": ("on", "off"),
    }
    scans, precisions, remat = (
        _choose(name, getattr(chosen, name), values) for name, values in known.items()
    )
    lengths = command.parse_lengths(chosen.lengths)
    return [
        Variant(scan, precision, switch == "on", length)
        for scan, precision, switch, length in itertools.product(
            scans, precisions, remat, lengths
        )
    ]


def _choose(name: str, text: str, known: Sequence[str]) -> list[str]:
    values = text.split(",")
    for value in values:
        if value not in known:
            raise UsageError(
                f"`--{name}`: expected some of {', '.join(known)}, with commas between "
                f"them, got {value!r}."
            )
    return values


def make_parser() -> Parser:
    """Makes the parser of the flags that only this command has."""
    parser = Parser("python -m benchmarks.step.variants", __doc__)
    known = ", ".join((BEST, *IMPLEMENTATIONS))
    for name, default, text in (
        ("scans", BEST, f"implementations, with commas: {known}"),
        ("precisions", "float32", f"precisions, with commas: {', '.join(PRECISIONS)}"),
        ("remat", "on", "rematerialisation: on, off, or both with a comma"),
        ("lengths", "96", "frames of a window, with commas"),
        (
            "out",
            f"{command.FOLDER}/step_variants.png",
            "file of the picture; the tables are beside it",
        ),
    ):
        metavar = "FILE" if name == "out" else "A,B"
        parser.add_argument(f"--{name}", default=default, metavar=metavar, help=text)
    parser.add_argument(
        "--repeats", type=whole(0), default=10, metavar="N",
        help="largest number of timed steps; timing stops earlier after 20 s",
    )  # fmt: skip
    command.add_jobs(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
