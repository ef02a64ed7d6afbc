"""Trains a system; the same command resumes an interrupted run by itself.

    python -m damamba_jax.train --config=configs/noxi.py --config.data.root=DIR

With no `data.root` it trains on the simulated corpus, and says so everywhere. The end
of a run is its evaluation: `results.md`, `results.json` and `pictures/` in the workdir.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import app, flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config.tree import from_config_dict
from damamba_jax.runtime import mesh
from damamba_jax.runtime.command import parse_flags, run, show_log
from damamba_jax.runtime.programs import keep_programs
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies.runs import train


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    del argv
    show_log()
    keep_programs()
    run(_train)


def _train(stop: StopRequest, console: Console) -> None:
    mesh.join_processes(
        _COORDINATOR.value,
        num_processes=_NUM_PROCESSES.value,
        process_id=_PROCESS_ID.value,
    )
    # The first process speaks for all.
    console.quiet = jax.process_index() > 0
    config = from_config_dict(_CONFIG.value)
    directory = Path(_WORKDIR.value or Path("runs") / config.name)
    train(config, directory, stop=stop, console=console)


if __name__ == "__main__":
    _CONFIG = config_flags.DEFINE_config_file(
        "config", None, "Configuration, e.g. configs/noxi.py or configs/noxi.py:demo."
    )
    _WORKDIR = flags.DEFINE_string(
        "workdir", "", "Folder of the run; default runs/NAME of the configuration."
    )
    _COORDINATOR = flags.DEFINE_string(
        "coordinator",
        "",
        "HOST:PORT at which the first of several processes listens; all of them run "
        "the same command, with a workdir that they share. A signal ends such a run "
        "at once, and the same command resumes it from its last checkpoint.",
    )
    _NUM_PROCESSES = flags.DEFINE_integer(
        "num_processes", 1, "Processes of the run.", lower_bound=1
    )
    _PROCESS_ID = flags.DEFINE_integer(
        "process_id", 0, "This process, from 0 on.", lower_bound=0
    )
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
