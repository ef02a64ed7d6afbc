"""Says how good a configuration is on people that it has never seen.

    python -m damamba_jax.crossval --config=my_corpus.py --seeds=0,1,2

Sessions of the training splits are left out in turn: nothing is learned from them or
chosen by them, and they are scored once all folds are trained. Beside the model stand
ridge regression and gradient boosting on the same folds, which says whether a network
pays. The last run learns from everybody: it is the model to use, in WORKDIR/final.

Tables and numbers go to WORKDIR/crossval.md and .json, a picture to crossval.png. The
same command goes on where it was interrupted, exactly.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config.tree import from_config_dict
from damamba_jax.runtime.command import parse_flags, parse_integers, run, show_log
from damamba_jax.runtime.programs import keep_programs
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies.crossval import cross_validate
from damamba_jax.studies.crossval_report import write_findings


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    del argv
    # Every fold would say the same.
    show_log(logging.WARNING)
    keep_programs()
    run(_cross_validate)


def _cross_validate(stop: StopRequest, console: Console) -> None:
    config = from_config_dict(_CONFIG.value)
    found = cross_validate(
        config,
        Path(_WORKDIR.value or Path("runs") / f"{config.name}-crossval"),
        folds=_FOLDS.value,
        seeds=parse_integers("--seeds", _SEEDS.value),
        jobs=_JOBS.value,
        refit=_REFIT.value,
        stop=stop,
        console=console,
    )
    write_findings(found, console=console)


if __name__ == "__main__":
    _CONFIG = config_flags.DEFINE_config_file(
        "config", None, "Configuration, e.g. my_corpus.py or configs/enjoyment.py."
    )
    _WORKDIR = flags.DEFINE_string(
        "workdir", "", "Folder of all runs; default runs/NAME-crossval."
    )
    _FOLDS = flags.DEFINE_integer(
        "folds", 0, "Folds; 0 leaves one session out up to 25, and makes 10 of more.",
        lower_bound=0,
    )  # fmt: skip
    _SEEDS = flags.DEFINE_string("seeds", "0", "Numbers with commas between.")
    _JOBS = flags.DEFINE_integer("jobs", 1, "Runs at a time.", lower_bound=1)
    _REFIT = flags.DEFINE_boolean(
        "refit", True, "Whether a last run learns from everybody."
    )
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
