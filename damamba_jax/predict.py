"""Scores new recordings with a trained model.

    damamba predict --workdir=runs/noxi --input=FOLDER --out=DIR

FOLDER is a session, a folder of sessions or a whole corpus, in the layout that the
model was trained on, or in that of a configuration given with --config. Neither labels
nor splits are needed. For each session and participant DIR gets `scores.csv`
(participant, time, score, low, high), `turns.csv` where a table says when turns were,
an annotation for NOVA, and a picture. `low` and `high` hold most annotations of people
who were not trained on; how often they did is printed. Several workdirs are averaged.
The folder of a cross-validation is its model: that of its last run, or the mean of its
folds.

The same command goes on where it was interrupted.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.runtime.command import run, show_log
from damamba_jax.runtime.parser import Parser
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    # Every file appears in one move: a signal may end the process at once.
    run(functools.partial(_predict, options), console=show_log())
    return 0


def _predict(options: argparse.Namespace, stop: StopRequest, console: Console) -> None:
    del stop
    # These take seconds to import, which neither `--help` nor a wrong flag waits for.
    from damamba_jax.runtime.programs import keep_programs
    from damamba_jax.studies.predictions import predict_recordings

    keep_programs()
    predict_recordings(
        [Path(workdir) for workdir in options.workdir],
        Path(options.input),
        Path(options.out),
        layout=options.config,
        protocol=options.protocol,
        smoothing=options.smoothing or "",
        console=console,
    )


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("predict", __doc__)
    parser.add_config()
    add = parser.add_argument
    parser.add_workdirs(several="the mean of the models counts")
    add("--input", required=True, metavar="DIR", help="the recordings")
    add("--out", required=True, metavar="DIR", help="folder for what is written")
    parser.add_protocol()
    parser.add_smoothing()
    return parser


if __name__ == "__main__":
    sys.exit(main())
