"""Peak memory of one training step against sequence length, for several systems.

    python -m benchmarks.step.memory_curve                # DA-Mamba and DAT, published
    python -m benchmarks.step.memory_curve --lengths=all  # 64 ... 8192
    python -m benchmarks.step.memory_curve --config=configs/noxi.py:demo --batch_size=8

--config can be given several times. A field that is set (--config.model.remat=False) is
set in all configurations. Parameters, optimizer, moving average and input are included,
and the whole batch goes through in one pass. Every length runs in a new process.

On a CPU the figure is the memory that XLA reports for the compiled step, and nothing is
allocated. This is good for slopes, but it is two to four times the memory of a GPU. On
a GPU the step runs. The table then has the peak of the GPU's allocator beside the
compiled figure, and the time of a step. A length that does not fit into memory is the
last one of its system.

Compilation takes the most time. With --jobs=8, eight processes compile at the same
time. When all steps are compiled, they are measured one by one.

    python -m benchmarks.step.memory_curve --max_gb=24 --lengths=8192

searches for the longest window with which a step of a single window fits into 24 GB.

No figure of a system is printed unless a step of it runs and its loss agrees with the
loss of the same step, computed in another way. The other way is without
rematerialisation and with the reference scan, if the system has them. The exit code is
1 if the losses disagree. It is also 1 if a doubling from 256 frames on multiplies
DA-Mamba's peak by more than --max_ratio.

The command writes a table (Markdown), the same table as JSON, and a picture. The rows
are kept in a folder beside these files. If the command was interrupted, the same
command continues from these rows, as long as the code is the same.

On two shared cores, a system takes 2.4 minutes for the check and 1.2 minutes for each
length (measured with DA-Mamba). Smaller configurations compile hardly faster.
"""

import collections
import concurrent.futures
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.step import command, memory_picture, memory_table, process
from benchmarks.step.memory_table import Series
from benchmarks.step.steps import Steps, parity_text
from damamba_jax.config.sections import Config
from damamba_jax.reporting.table import Table
from damamba_jax.runtime.parser import Parser, number
from damamba_jax.runtime.progress import ProgressLine

LENGTHS = (64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)
DEFAULT_CONFIGS = ("configs/noxi.py", "configs/dat.py:paper_table")
DEFAULT_LENGTHS = "64,96,128,192,256,512,1024,2048"
# A search for the longest window ends at this length at the latest.
MOST_FRAMES = 2**20


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return command.start(_run, argv)


def _run(argv: Sequence[str], console: Console) -> int:
    chosen, configs = command.read(argv, make_parser(), defaults=DEFAULT_CONFIGS)
    one_window = chosen.max_gb is not None
    size = chosen.batch_size or int(one_window)
    configs = [command.set_batch_size(config, size) for config in configs]
    lengths = command.parse_lengths(chosen.lengths, {"all": LENGTHS})
    report = Report(
        out=Path(chosen.out),
        max_ratio=chosen.max_ratio,
        max_bytes=1e9 * chosen.max_gb if one_window else None,
    )
    steps = Steps(
        process.find_device(chosen.platform, configs[0]),
        folder=report.out.with_suffix(""),
        beside_others=chosen.jobs > 1,
    )
    with process.compilation_cache():
        if chosen.jobs > 1:
            compile_ahead(configs, lengths, steps, jobs=chosen.jobs, console=console)
        series, failed = _measure_all(
            configs, lengths, steps, report, jobs=chosen.jobs, console=console
        )
    if not series:
        return 1
    linear = report.publish(series)
    return 0 if linear and not failed else 1


def _measure_all(
    configs: Sequence[Config],
    lengths: Sequence[int],
    steps: Steps,
    report: "Report",
    *,
    jobs: int,
    console: Console,
) -> tuple[list[Series], bool]:
    """Measures one system after the other, and says whether one of them failed."""
    series: list[Series] = []
    failed = False
    for config in configs:
        rows: list[dict[str, Any]] = []
        try:
            for row in measure(
                config, lengths, steps, jobs=jobs, console=console,
                max_bytes=report.max_bytes,
            ):  # fmt: skip
                rows.append(row)
                # The table is written after every row, because the machine may be taken
                # away.
                report.write([*series, Series(config, rows)])
        except process.BenchmarkError as error:
            # The figures of other systems and of earlier lengths remain.
            print(f"error: {error}", file=sys.stderr)
            failed = True
        series += [Series(config, rows)] * bool(rows)
    return series, failed


def measure(
    config: Config,
    lengths: Sequence[int],
    steps: Steps,
    *,
    console: Console,
    max_bytes: float | None = None,
    jobs: int = 1,
) -> Iterator[dict[str, Any]]:
    """Checks the step and measures every length, each in a process of its own.

    Several processes prepare at a time, but on a GPU one step runs at a time. Programs
    that were compiled before are only loaded, so that waiting processes hold little
    memory of the GPU.

    Args:
      config: the configuration whose step is measured.
      lengths: the lengths in frames, in rising order. No length after the first one
        that does not fit is measured.
      steps: the object that gives a row for each length.
      console: the console that shows progress.
      max_bytes: a budget in bytes, or None. With a budget, the last length is doubled
        as long as its peak is within the budget.
      jobs: the number of processes at a time.

    Raises:
      BenchmarkError: if the check or a process fails.
    """
    with (
        _progress(f"memory of {config.name}", console, "compilations") as tell,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        if not steps.knows(config):
            text = f"{config.name}: compiling two steps to compare"
            console.print(text, highlight=False)
        parity = steps.check(config)
        waiting, started, done = list(lengths), collections.deque(), 1
        while waiting or started:
            while waiting and len(started) < jobs:
                length = waiting.pop(0)
                started.append((length, pool.submit(steps.measure, config, length)))
            length, future = started.popleft()
            tell(done, done + len(waiting) + len(started) + 1, note=f"{length} frames")
            row = {**future.result(), "parity": parity}
            done += 1
            yield row
            peak = memory_table.peak(row)
            if peak is None:
                for _, other in started:
                    other.cancel()
                break
            last = not waiting and not started
            if max_bytes is not None and last and length < MOST_FRAMES:
                waiting = [2 * length] * (peak <= max_bytes)
        tell(done, done)


def compile_ahead(
    configs: Sequence[Config],
    lengths: Sequence[int],
    steps: Steps,
    *,
    jobs: int,
    console: Console,
) -> None:
    """Does the checks and compilations that are not kept, `jobs` at a time."""
    tasks = [
        (config, length)
        for config in configs
        for length in (None, *lengths)
        if not steps.knows(config, length)
    ]
    with (
        _progress("compiling", console, "steps") as tell,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        ended = pool.map(lambda task: steps.prepare(*task), tasks)
        for done, ((config, _), _) in enumerate(zip(tasks, ended, strict=True), 1):
            tell(done, len(tasks), note=config.name)


def _progress(title: str, console: Console, unit: str) -> ProgressLine:
    """Makes a progress line that shows every step, since a step takes minutes."""
    return ProgressLine(title, console, unit=unit, every_seconds=0.0)


def make_parser() -> Parser:
    """Makes the parser of the flags that only this command has."""
    parser = Parser("python -m benchmarks.step.memory_curve", __doc__)
    add = parser.add_argument
    add(
        "--lengths", default=DEFAULT_LENGTHS, metavar="N,N",
        help="frames of a window, with commas, or `all`",
    )  # fmt: skip
    add(
        "--max_gb", type=number(0.0), metavar="GB",
        help="double the last length as long as the peak is at most this many GB "
        "(10^9 bytes), and say which length fits; --batch_size is then 1 by default",
    )  # fmt: skip
    add(
        "--max_ratio", type=number(0.0), default=2.1, metavar="X",
        help="growth that DA-Mamba is allowed at each doubling from 256 frames on",
    )  # fmt: skip
    add(
        "--out", default=f"{command.FOLDER}/memory_curve.png", metavar="FILE",
        help="file of the picture; the tables are beside it",
    )  # fmt: skip
    command.add_jobs(parser)
    return parser


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The report of all measurements.

    Args:
      out: the path of the picture. The tables are beside it.
      max_ratio: the growth that DA-Mamba is allowed at each doubling.
      max_bytes: the budget of a search for the longest window; None means no search.
    """

    out: Path
    max_ratio: float
    max_bytes: float | None = None

    def publish(self, series: Sequence[Series]) -> bool:
        """Prints and writes the report.

        Returns:
          Whether every system that must be linear is linear.
        """
        parities = [(one.label, one.rows[0]["parity"]) for one in series]
        memory_picture.draw(self.out, series, self.max_ratio)
        lines = [f"{label}: {parity_text(parity)}" for label, parity in parities]
        command.show(self.write(series), self.out, columns=160, lines=lines)
        growths = [memory_table.ratios(one.peaks) for one in series if one.is_judged]
        return all(memory_table.verdict(g, self.max_ratio)[0] for g in growths)

    def write(self, series: Sequence[Series]) -> Table:
        """Writes the table and the numbers, and returns the table."""
        made = memory_table.table(series, self.max_ratio, self.max_bytes)
        tree = {
            "systems": [self._tree(one) for one in series],
            "for_slopes_only": series[0].on_cpu,
            "notes": made.notes,
        }
        command.write(made, tree, self.out)
        return made

    def _tree(self, one: Series) -> dict[str, Any]:
        fit, longest = memory_table.fit_growth(one.peaks), None
        if self.max_bytes is not None:
            longest = memory_table.longest(one.rows, self.max_bytes)._asdict()
        return {
            "system": one.label,
            "config": dataclasses.asdict(one.config),
            "rows": list(one.rows),
            "ratios": {str(n): x for n, x in memory_table.ratios(one.peaks).items()},
            "fit": fit and fit._asdict(),
            "longest": longest,
        }


if __name__ == "__main__":
    sys.exit(main())
