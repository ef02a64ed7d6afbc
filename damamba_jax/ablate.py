"""Trains every row of the paper's ablation with several seeds, and prints its table.

    python -m damamba_jax.ablate --config=configs/ablation.py:small [--workdir=DIR]

Each (row, seed) is a training run with a workdir of its own in the ablation's; the
same command goes on where it was interrupted, exactly. `--jobs=15` trains so many at a
time, which fills a GPU. Tables go to `ablation.md` and `ablation.json`, a picture to
`ablation.png`. On the simulated corpus the oracle's predictions stand beside what was
measured.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.open import open_corpus
from damamba_jax.runtime.command import mark_log, parse_flags, run, show_log
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies import ablation, ablation_report, ablation_scores
from damamba_jax.studies.runs import keep_compiled, train_all


def ablate(
    base: Config,
    directory: Path,
    *,
    rows: Sequence[str] = (),
    num_seeds: int = 3,
    jobs: int = 1,
    stop: StopRequest,
    console: Console,
) -> None:
    """Trains what is not trained yet, then prints and writes the tables.

    Args:
      base: configuration of the full model; its seed is the first one.
      directory: the ablation's workdir.
      rows: keys of `ablation.ROWS`; none means all. The full model is always there.
      num_seeds: per row.
      jobs: cells that are trained at a time.
      stop: watches for signals.
      console: where progress and tables go.

    Raises:
      Stopped: on a signal, after the state of the cells in work was saved.
      TrainingError: if a cell fails.
      ValueError: for bad configuration or data; the message says what to change.
    """
    chosen = ablation.choose_rows(rows)
    cells = ablation.make_cells(base, chosen, num_seeds=num_seeds, folder=directory)
    # Drawn once, before several runs ask for it.
    index = open_corpus(base.data)
    mark = "simulated " * index.simulated
    train_all(cells, title=f"{mark}ablation", jobs=jobs, stop=stop, console=console)
    findings = ablation_scores.collect(cells, base, index)
    ablation_report.publish(findings, directory, console=console)


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    del argv
    show_log(logging.WARNING)
    run(_ablate)


def _ablate(stop: StopRequest, console: Console) -> None:
    base = from_config_dict(_CONFIG.value)
    if not base.data.root:
        mark_log("simulated: ")
    directory = Path(_WORKDIR.value or Path("runs") / base.name)
    keep_compiled(directory / "compiled")
    ablate(
        base,
        directory,
        rows=_ROWS.value,
        num_seeds=_NUM_SEEDS.value,
        jobs=_JOBS.value,
        stop=stop,
        console=console,
    )


if __name__ == "__main__":
    _CONFIG = config_flags.DEFINE_config_file(
        "config", None, "Configuration of the full model, configs/ablation.py:small."
    )
    _WORKDIR = flags.DEFINE_string(
        "workdir", "", "Folder of the ablation; default runs/NAME of the configuration."
    )
    _ROWS = flags.DEFINE_list(
        "rows",
        [],
        f"Rows to train and print, of {', '.join(row.key for row in ablation.ROWS)}; "
        "default all.",
    )
    _NUM_SEEDS = flags.DEFINE_integer("num_seeds", 3, "Seeds per row.", lower_bound=1)
    _JOBS = flags.DEFINE_integer(
        "jobs", 1, "Cells that are trained at a time; several share a GPU.",
        lower_bound=1,
    )  # fmt: skip
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
