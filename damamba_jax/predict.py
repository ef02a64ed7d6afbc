"""Scores new recordings with a trained model.

    damamba predict --workdir=runs/noxi --input=FOLDER --out=DIR

FOLDER is a session, a folder of sessions or a whole corpus. Its layout is the one that
the model was trained on, or the one of the configuration that --config names. It needs
no labels and no splits. For each session and participant, DIR gets `scores.csv`
(participant, time, score, low, high), an annotation for NOVA, and a picture. If a table
says when turns were, DIR also gets `turns.csv`. Between `low` and `high` lie most
annotations of people whom the model was not trained on; the command prints how many.
With several workdirs, the scores are the mean of all models. A workdir may also be the
folder of a cross-validation: its model is that of its last run, or the mean of its
folds.

After an interruption, the same command continues where it stopped.
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
    # Every file appears in one move, so a signal may end the process at once.
    run(functools.partial(_predict, options), console=show_log())
    return 0


def _predict(options: argparse.Namespace, stop: StopRequest, console: Console) -> None:
    del stop
    # These imports take seconds; `--help` and a wrong flag do not wait for them.
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
    parser.add_workdirs(several="the scores are the mean of all models")
    add("--input", required=True, metavar="DIR", help="folder of the recordings")
    add("--out", required=True, metavar="DIR", help="folder for the results")
    parser.add_protocol()
    parser.add_smoothing()
    return parser


if __name__ == "__main__":
    sys.exit(main())
