"""Peak memory of one training step against sequence length, system by system.

    python -m benchmarks.step.memory_curve                # DA-Mamba and DAT, published
    python -m benchmarks.step.memory_curve --lengths=all  # 64 ... 8192
    python -m benchmarks.step.memory_curve --config=configs/noxi.py:demo --batch_size=8

--config can be given several times; fields that are set (--config.model.remat=False)
are set in all of them. Parameters, optimizer, moving average and input are included;
the whole batch goes through in one pass. Every length runs in a fresh process. On a CPU
the figure is XLA's own account of the compiled step, and nothing is allocated: good for
slopes, but two to four times what a GPU takes. On a GPU the step runs, and the peak of
its allocator stands beside the compiled figure, and its time; a length that does not
fit into memory is the last one of its system. With --jobs=8 so many processes compile
at a time, which takes longest; when all is compiled, steps are measured one by one.

    python -m benchmarks.step.memory_curve --max_gb=24 --lengths=8192

searches for the longest window that one step of a single window can be trained on.

No figure of a system is printed unless a step of it runs and its loss equals that
computed in another way (without rematerialisation, and by the reference scan, of what
it has). The exit code is 1 if it does not, or if a doubling from 256 frames on
multiplies DA-Mamba's peak by more than --max_ratio. Writes a table (Markdown), the same
as JSON, and a picture; rows are kept in a folder beside them, from which the same
command goes on when it was interrupted, as long as the code is the same.

On two shared cores a system takes 2.4 minutes for the check and 1.2 for each length
(measured with DA-Mamba). Smaller configurations compile hardly faster.
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
from benchmarks.step.steps import Steps
from damamba_jax.config.sections import Config
from damamba_jax.reporting.table import Table
from damamba_jax.runtime.parser import Parser, number
from damamba_jax.runtime.progress import ProgressLine

LENGTHS = (64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)
DEFAULT_CONFIGS = ("configs/noxi.py", "configs/dat.py:paper_table")
DEFAULT_LENGTHS = "64,96,128,192,256,512,1024,2048"
# A search for the longest window ends here at the latest.
MOST_FRAMES = 2**20


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
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
    """Measures one system after the other; says whether one of them failed."""
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
                # After every row: the machine may be taken away.
                report.write([*series, Series(config, rows)])
        except process.BenchmarkError as error:
            # Other systems, and the lengths before, keep their figures.
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

    Several processes prepare at a time; on a GPU one step runs at a time. What was
    compiled ahead is loaded, so that those that wait hold little of its memory.

    Args:
      config: what is trained.
      lengths: in frames, ascending; the first that does not fit is the last.
      steps: answers with a row for each length.
      console: for progress.
      max_bytes: if given, the last length doubles for as long as its peak is within.
      jobs: processes at a time.

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
    """Checks and compiles what is not kept, `jobs` at a time."""
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
    """A line for every step: they take minutes."""
    return ProgressLine(title, console, unit=unit, every_seconds=0.0)


def make_parser() -> Parser:
    """Makes the parser of the flags that this command alone has."""
    parser = Parser("python -m benchmarks.step.memory_curve", __doc__)
    add = parser.add_argument
    add(
        "--lengths", default=DEFAULT_LENGTHS, metavar="N,N",
        help="frames, with commas, or `all`",
    )  # fmt: skip
    add(
        "--max_gb", type=number(0.0), metavar="GB",
        help="go on doubling the last length while the peak is at most so many GB "
        "(10^9 bytes), and say what fits; --batch_size is 1 by default then",
    )  # fmt: skip
    add(
        "--max_ratio", type=number(0.0), default=2.1, metavar="X",
        help="growth allowed per doubling from 256, for DA-Mamba",
    )  # fmt: skip
    add(
        "--out", default=f"{command.FOLDER}/memory_curve.png", metavar="FILE",
        help="picture; tables beside it",
    )  # fmt: skip
    return parser


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Says what was measured.

    Args:
      out: the picture; tables are beside it.
      max_ratio: the growth that is allowed to DA-Mamba at each doubling.
      max_bytes: the budget of a search for the longest window.
    """

    out: Path
    max_ratio: float
    max_bytes: float | None = None

    def publish(self, series: Sequence[Series]) -> bool:
        """Prints and writes the report; returns whether what is judged is linear."""
        parities = [(one.label, one.rows[0]["parity"]) for one in series]
        memory_picture.draw(self.out, series, self.max_ratio)
        lines = [
            f"{label}: parity: loss {parity['loss']:.7f}; {parity['other']} "
            f"{parity['other_loss']:.7f} (allowed: {parity['tolerance']:g})"
            for label, parity in parities
        ]
        command.show(self.write(series), self.out, columns=160, lines=lines)
        growths = [memory_table.ratios(one.peaks) for one in series if one.is_judged]
        return all(memory_table.verdict(g, self.max_ratio)[0] for g in growths)

    def write(self, series: Sequence[Series]) -> Table:
        """Writes the table and the numbers; returns the table."""
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
