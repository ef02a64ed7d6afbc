"""Writing and printing the tables and the pictures of an evaluation."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.evaluation.results import Result
from damamba_jax.reporting.result_tables import (
    rater_lines,
    tables,
    unlabelled_lines,
    write_json,
    write_markdown,
)
from damamba_jax.reporting.table import show
from damamba_jax.reporting.timelines import draw_split
from damamba_jax.runs.traces import read_traces
from damamba_jax.runs.workdir import PICTURES, RESULTS, RESULTS_PAGE
from damamba_jax.runtime.command import make_console


def write_results(
    results: Sequence[Result], out: Path, *, console: Console | None = None
) -> None:
    """Writes all tables to `results.md` and `results.json`, and prints the main ones.

    Args:
      results: the results of one model or more.
      out: folder for the files.
      console: console that is printed on; `None` makes one.
    """
    console = console or make_console()
    write_json(out / RESULTS, results)
    # The page comes last, because it marks a run as finished.
    write_markdown(out / RESULTS_PAGE, results)
    show_results(results, console)
    mark = "simulated " if any(r.scored_on_simulated for r in results) else ""
    console.print(f"Written: {mark}{out / RESULTS_PAGE} and {out / RESULTS}")


def show_results(results: Sequence[Result], console: Console) -> None:
    """Prints the tables of an evaluation, except those by role, language or session."""
    for table in tables(results):
        if table.title.startswith("By "):
            continue
        show(table, console)
    for line in [*rater_lines(results), *unlabelled_lines(results)]:
        console.print(line)


def draw_results(result: Result, folder: Path, *, num_timelines: int = 4) -> None:
    """Draws every split of a result from its traces on disk.

    Args:
      result: the result of an evaluation.
      folder: folder of the evaluation; the pictures go to `pictures/` in it.
      num_timelines: number of timelines for each split, spread from the worst session
        to the best; 0 draws nothing at all.
    """
    for split in result.splits:
        draw_split(
            folder / PICTURES,
            read_traces(folder, split.split),
            num_timelines=num_timelines,
            mark="" if result.mark == "ours" else result.mark,
            only_missing=split.is_kept,
        )
