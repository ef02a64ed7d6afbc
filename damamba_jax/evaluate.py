"""Scores a trained model on every split that is on disk.

    damamba evaluate --workdir=DIR

The model predicts whole sessions: either the cores of its windows are stitched
together, or one long pass reads the session. Splits with annotations are scored; for
other splits, each person gets one file of predictions. Tables go to `results.md` and
`results.json`, pictures to `pictures/`, all predictions to `traces/`, and the settings
of the evaluation to `evaluation.json`. An evaluation with other splits, roots,
protocols or smoothings gets its own folder in `WORKDIR/evaluations/`, so that none
overwrites another. If model, settings, files and code are the same as before, the
predictions are read from `traces/`.

    damamba evaluate --workdir=A --workdir=B --ensemble

This puts several models into one table. `--ensemble` adds one more row, for the mean of
their predictions.
"""

import argparse
import functools
import sys
from collections.abc import Sequence

from rich.console import Console

from damamba_jax.runtime.command import run, show_log
from damamba_jax.runtime.parser import OF_THE_MODEL, Parser, one_of, split_names, whole
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    # Every file appears in one move and nothing needs saving. So nothing is under
    # `protect`, and a signal ends the process at once, even during a compilation.
    run(functools.partial(_evaluate, options), console=show_log())
    return 0


def _evaluate(options: argparse.Namespace, stop: StopRequest, console: Console) -> None:
    del stop
    # These imports take seconds; `--help` and a wrong flag do not wait for them.
    from damamba_jax.runs.evaluations import Settings
    from damamba_jax.runtime.programs import keep_programs
    from damamba_jax.studies.evaluations import evaluate_runs

    keep_programs()
    settings = Settings(
        workdirs=tuple(options.workdir),
        root=options.root,
        labels_root=options.labels_root,
        splits=tuple(options.splits),
        protocol=options.protocol,
        smoothing=options.smoothing or "",
        ensemble=options.ensemble,
    )
    evaluate_runs(
        settings,
        out=options.out,
        batch_size=options.batch_size,
        num_pictures=options.pictures,
        ridge={"auto": None, "yes": True, "no": False}[options.ridge],
        console=console,
    )


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("evaluate", __doc__)
    add = parser.add_argument
    parser.add_workdirs(several="all models are rows of one table")
    help_text = "add a row for the mean of the workdirs' predictions"
    add("--ensemble", action="store_true", help=help_text)
    parser.add_roots(OF_THE_MODEL)
    add(
        "--splits",
        type=split_names,
        default=(),
        metavar="A,B",
        help="splits to evaluate, e.g. noxi/test-base,noxi/val; default: all that the "
        "model was not trained on",
    )
    parser.add_protocol()
    add(
        "--out",
        default="",
        metavar="DIR",
        help="folder for the results, without another evaluation; default: the workdir "
        "for the run's own one, and a new folder in WORKDIR/evaluations for others",
    )
    add(
        "--batch_size",
        type=whole(0),
        default=0,
        metavar="N",
        help="windows in a batch; default: as many as in training",
    )
    add(
        "--pictures",
        type=whole(0),
        default=4,
        metavar="N",
        help="number of pictures of timelines for each split; default: 4",
    )
    add(
        "--ridge",
        default="auto",
        type=one_of("auto", "yes", "no"),
        metavar="auto|yes|no",
        help="whether to add a per-frame ridge regression for comparison; `auto` "
        "(default) adds it on simulated corpora",
    )
    parser.add_smoothing()
    return parser


if __name__ == "__main__":
    sys.exit(main())
