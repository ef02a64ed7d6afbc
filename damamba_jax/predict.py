"""Scores new recordings with a trained model.

    python -m damamba_jax.predict --workdir=runs/noxi --input=FOLDER --out=DIR

FOLDER is a session, a folder of sessions or a whole corpus, in the layout that the
model was trained on, or in that of a configuration given with --config. Neither labels
nor splits are needed. For each session and participant DIR gets `scores.csv`
(participant, time, score, low, high), `turns.csv` where a table says when turns were,
an annotation for NOVA, and a picture. `low` and `high` hold most annotations of people
who were not trained on; how often they did is printed. Several workdirs are averaged.

The same command goes on where it was interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.runtime.command import expand_home, run, show_log
from damamba_jax.runtime.programs import keep_programs
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies.predictions import predict_recordings


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(expand_home(sys.argv[1:] if argv is None else argv))
    show_log()
    keep_programs()

    # Every file appears in one move: a signal may end the process at once.
    def body(stop: StopRequest, console: Console) -> None:
        del stop
        predict_recordings(
            [Path(workdir) for workdir in options.workdir],
            Path(options.input),
            Path(options.out),
            config_file=options.config,
            protocol=options.protocol,
            smoothing=options.smoothing,
            console=console,
        )

    run(body)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m damamba_jax.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--workdir",
        required=True,
        action="append",
        metavar="DIR",
        help="of a training run; given several times, the mean of the models counts",
    )
    add("--input", required=True, metavar="DIR", help="the recordings")
    add("--out", required=True, metavar="DIR", help="folder for what is written")
    add(
        "--config",
        default="",
        metavar="FILE",
        help="configuration whose layout and tables the recordings have, if they lie "
        "in another way than those of training",
    )
    add("--protocol", default="stitched", choices=("stitched", "long"))
    add(
        "--smoothing",
        default="",
        metavar="KIND:SECONDS",
        help="none, exponential:S (causal) or gaussian:S; default: the model's",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
