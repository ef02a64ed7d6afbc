"""Peak memory of one training step against sequence length, system by system.

    python benchmarks/memory_curve.py                 # DA-Mamba and DAT, as published
    python benchmarks/memory_curve.py --lengths=all   # 64 ... 8192
    python benchmarks/memory_curve.py --config=configs/noxi.py:demo --batch_size=8

--config can be given several times; fields that are set (--config.model.remat=False)
are set in all of them. Parameters, optimizer, moving average and input are included;
the whole batch goes through in one pass. Every length runs in a fresh process. On a CPU
the figure is XLA's own account of the compiled step, and nothing is allocated: good for
slopes, but two to four times what a GPU takes. On a GPU the step runs, and the peak of
its allocator stands beside the compiled figure, and its time; a length that does not
fit into memory is the last one of its system. With --jobs=8 so many processes compile
at a time, which takes longest; when all is compiled, steps are measured one by one.

    python benchmarks/memory_curve.py --max_gb=24 --lengths=8192

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
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import memory_picture
import memory_report
import step_process
from absl import flags
from kept_steps import KeptSteps
from memory_report import Series
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.reporting.table import Table
from damamba_jax.runtime.command import USER_ERRORS
from damamba_jax.runtime.config_files import find_config_file
from damamba_jax.runtime.progress import ProgressLine

LENGTHS = (64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)
DEFAULT_CONFIGS = ("configs/noxi.py", "configs/dat.py:paper_table")
DEFAULT_LENGTHS = "64,96,128,192,256,512,1024,2048"
# A search for the longest window ends here at the latest.
MOST_FRAMES = 2**20


def measure(
    config: Config,
    lengths: Sequence[int],
    *,
    device: str,
    console: Console,
    max_bytes: float | None = None,
    jobs: int = 1,
    compiled: Mapping[int, Mapping[str, Any]] | None = None,
    kept: KeptSteps | None = None,
) -> Iterator[dict[str, Any]]:
    """Checks the step and measures every length, each in a process of its own.

    Several processes prepare at a time; on a GPU one step runs at a time. What was
    compiled ahead is loaded, so that those that wait hold little of its memory.

    Args:
      config: what is trained.
      lengths: in frames, ascending; the first that does not fit is the last.
      device: `"auto"`, `"cpu"` or `"gpu"`.
      console: for progress.
      max_bytes: if given, the last length doubles for as long as its peak is within.
      jobs: processes at a time.
      compiled: by length, what `compile_ahead` said of this configuration.
      kept: what was measured before, and is not again.

    Raises:
      BenchmarkError: if the check or a process fails.
    """
    kept = kept or KeptSteps(None, device)

    def run(length: int) -> dict[str, Any]:
        row = kept.get(config, length=length)
        if row is None:
            row = step_process.measure(
                config, device, length=length, beside_others=jobs > 1
            )
            row |= (compiled or {}).get(length, {})
            if memory_report.peak(row) is not None:  # else there may be more next time
                kept.put(row, config, length=length)
        return row

    with (
        ProgressLine(
            f"memory of {config.name}", console, unit="compilations", every_seconds=0.0
        ) as tell,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        parity = kept.get(config, task="parity")
        if parity is None:
            text = f"{config.name}: compiling two steps to compare"
            console.print(text, highlight=False)
            parity = step_process.check_parity(config, device)
            kept.put(parity, config, task="parity")
        waiting, started, done = list(lengths), collections.deque(), 1
        while waiting or started:
            while waiting and len(started) < jobs:
                started.append((waiting[0], pool.submit(run, waiting.pop(0))))
            length, future = started.popleft()
            left = len(waiting) + len(started) + 1
            tell(done, done + left, note=f"{length} frames")
            row = {**future.result(), "parity": parity}
            done += 1
            yield row
            peak = memory_report.peak(row)
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
    *,
    device: str,
    jobs: int,
    console: Console,
    kept: KeptSteps,
) -> list[dict[int, dict[str, Any]]]:
    """Fills the compilation cache for what is not kept, `jobs` at a time.

    What fails, for instance for want of memory beside the others, is compiled again
    when it is measured.

    Returns:
      For each configuration, by length, the seconds of its compilation.
    """
    tasks = [
        (config, n)
        for config in configs
        for n in (None, *lengths)
        if kept.get(config, **({"length": n} if n else {"task": "parity"})) is None
    ]

    def compile_one(task: tuple[Config, int | None]) -> dict[str, Any]:
        config, length = task
        request = {"task": "parity"}
        if length is not None:
            request = {"task": "compile", "length": length}
        try:
            return step_process.run(request, config, device)
        except step_process.BenchmarkError:
            return {}

    found: dict[str, dict[int, dict[str, Any]]] = {c.name: {} for c in configs}
    with (
        ProgressLine("compiling", console, unit="steps", every_seconds=0.0) as tell,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        answers = pool.map(compile_one, tasks)
        for done, ((config, length), answer) in enumerate(
            zip(tasks, answers, strict=True), start=1
        ):
            tell(done, len(tasks), note=config.name)
            if length is not None:
                found[config.name][length] = answer
    return list(found.values())


def _parse(argv: Sequence[str]) -> tuple[flags.FlagValues, list[Config]]:
    """Reads the command line once for each `--config`; flags are the same in all."""
    argv = find_config_file(argv)
    chosen = [a for a in argv if a.startswith(("--config=", "-config="))]
    rest = [a for a in argv if a not in chosen]
    configs = []
    for flag in chosen or find_config_file([f"--config={c}" for c in DEFAULT_CONFIGS]):
        given = [rest[0], flag, *rest[1:]]
        values = _flags(given)
        try:
            surplus = values(given)
        except AttributeError as error:  # ml_collections: no such field
            raise ValueError(f"`{flag}`: {error}") from error
        if len(surplus) > 1:
            raise ValueError(f"expected flags only, got {surplus[1]!r}.")
        config = from_config_dict(values.config)
        usual = config.train.batch_size if values.max_gb is None else 1
        train = dataclasses.replace(config.train, batch_size=values.batch_size or usual)
        configs.append(dataclasses.replace(config, train=train))
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise ValueError(f"`--config`: expected each once, got {', '.join(names)}.")
    return values, configs


def _flags(argv: list[str]) -> flags.FlagValues:
    """Defines the flags; `argv` says which fields of `--config` are set."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "Configuration, several times for several; default "
        f"{' and '.join(DEFAULT_CONFIGS)}. Fields as in training, e.g. "
        "--config.model.remat=False.", flag_values=values, sys_argv=argv,
    )  # fmt: skip
    flags.DEFINE_integer(
        "batch_size", 0, "Windows; 0: as in training.", lower_bound=0,
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "jobs", 1, "Processes at a time; they run their steps one by one.",
        lower_bound=1, flag_values=values,
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
        "max_ratio", 2.1, "Growth allowed per doubling from 256, for DA-Mamba.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "out", "runs/benchmarks/memory_curve.png", "Picture; tables beside it.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean("help", False, "Shows this text.", flag_values=values)
    return values


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    console, failed, series = Console(stderr=True), False, []
    try:
        chosen, configs = _parse(argv)
        if chosen.help:
            print(f"{__doc__}\n{chosen.get_help()}")
            return 0
        lengths = step_process.parse_lengths(chosen.lengths, {"all": LENGTHS})
        device = step_process.find_device(chosen.platform, configs[0])
        max_bytes = None if chosen.max_gb is None else 1e9 * chosen.max_gb
        kept = KeptSteps(Path(chosen.out).with_suffix(""), device)
        compiled: list[dict[int, dict[str, Any]]] = [{} for _ in configs]
        with step_process.compilation_cache():
            if chosen.jobs > 1:
                compiled = compile_ahead(
                    configs, lengths, device=device, jobs=chosen.jobs, console=console,
                    kept=kept,
                )  # fmt: skip
            for config, seconds in zip(configs, compiled, strict=True):
                rows: list[dict[str, Any]] = []
                try:
                    for row in measure(
                        config, lengths, device=device, console=console,
                        max_bytes=max_bytes, jobs=chosen.jobs, compiled=seconds,
                        kept=kept,
                    ):  # fmt: skip
                        rows.append(row)
                        # After every row: the machine may be taken away.
                        found = [*series, Series(config, rows)]
                        write(found, Path(chosen.out), chosen.max_ratio, max_bytes)
                except step_process.BenchmarkError as error:
                    # Other systems, and the lengths before, keep their figures.
                    print(f"memory_curve: {error}", file=sys.stderr)
                    failed = True
                series += [Series(config, rows)] * bool(rows)
    except (
        step_process.BenchmarkError,
        flags.Error,
        ValueError,
        *USER_ERRORS,
    ) as error:
        print(f"memory_curve: {error}", file=sys.stderr)
        return 1
    if not series:
        return 1
    code = publish(series, Path(chosen.out), chosen.max_ratio, max_bytes)
    return 1 if failed else code


def publish(
    series: Sequence[Series],
    out: Path,
    max_ratio: float,
    max_bytes: float | None = None,
) -> int:
    """Prints and writes what was measured; returns the exit code."""
    wide = None if sys.stdout.isatty() else 160
    console = Console(highlight=False, width=wide)
    for one in series:
        parity = one.rows[0]["parity"]
        console.print(
            f"{one.label}: parity: loss {parity['loss']:.7f}; {parity['other']} "
            f"{parity['other_loss']:.7f} (allowed: {parity['tolerance']:g})"
        )
    made = write(series, out, max_ratio, max_bytes)
    console.print(made.to_rich())
    console.print(f"picture: {out}; tables beside it (.md, .json)")
    judged = [one for one in series if one.is_judged]
    growths = [memory_report.ratios(one.peaks) for one in judged]
    linear = all(memory_report.verdict(growth, max_ratio)[0] for growth in growths)
    return 0 if linear else 1


def write(
    series: Sequence[Series], out: Path, max_ratio: float, max_bytes: float | None
) -> Table:
    """Writes the table, the numbers and the picture; returns the table."""
    made = memory_report.table(series, max_ratio, max_bytes)
    memory_picture.draw(out, series, max_ratio)
    out.with_suffix(".md").write_text(made.to_markdown(), encoding="utf-8")
    tree = {
        "systems": [_tree(one, max_bytes) for one in series],
        "for_slopes_only": series[0].on_cpu,
        "notes": made.notes,
    }
    out.with_suffix(".json").write_text(
        json.dumps(tree, indent=2, allow_nan=False) + "\n", encoding="utf-8"
    )
    return made


def _tree(one: Series, max_bytes: float | None) -> dict[str, Any]:
    fit, longest = memory_report.fit_growth(one.peaks), None
    if max_bytes is not None:
        longest = memory_report.longest(one.rows, max_bytes)._asdict()
    return {
        "system": one.label,
        "config": dataclasses.asdict(one.config),
        "rows": list(one.rows),
        "ratios": {str(n): x for n, x in memory_report.ratios(one.peaks).items()},
        "fit": fit and fit._asdict(),
        "longest": longest,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv))
