"""Scores a trained model on every split that is on disk.

    damamba evaluate --workdir=DIR

Whole sessions are predicted, stitched from the cores of the model's windows or in one
long pass. Splits with annotations are scored, the others get one prediction file per
person. Tables go to `results.md` and `results.json`, pictures to `pictures/`, all
predictions to `traces/`, and what was evaluated to `evaluation.json`. With other
splits, roots, protocols or smoothings an evaluation gets a folder of its own in
`WORKDIR/evaluations/`: none writes over another. Predictions that would come out the
same, from the same model, settings, files and code, are taken from `traces/`.

    damamba evaluate --workdir=A --workdir=B --ensemble

puts several models into one table, and with `--ensemble` the mean of their predictions
as one more row.
"""

import argparse
import functools
import sys
from collections.abc import Sequence

from rich.console import Console

from damamba_jax.runtime.command import run, show_log
from damamba_jax.runtime.parser import Parser, one_of, split_names, whole
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    # Every file appears in one move and nothing needs saving: without `protect` a
    # signal ends the process at once, within a compilation too.
    run(functools.partial(_evaluate, options), console=show_log())
    return 0


def _evaluate(options: argparse.Namespace, stop: StopRequest, console: Console) -> None:
    del stop
    # These take seconds to import, which neither `--help` nor a wrong flag waits for.
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
    parser.add_workdirs(several="the rows stand in one table")
    add(
        "--ensemble",
        action="store_true",
        help="one more row: the mean of the workdirs' predictions",
    )
    add("--root", default="", metavar="DIR", help="corpus, if not the trained one's")
    add("--labels_root", default="", metavar="DIR", help="annotations, if elsewhere")
    add(
        "--splits",
        type=split_names,
        default=(),
        metavar="A,B",
        help="e.g. noxi/test-base,noxi/val; default: all that were not trained on",
    )
    parser.add_protocol()
    add(
        "--out",
        default="",
        metavar="DIR",
        help="default: the workdir for the run's own evaluation, and a folder of its "
        "own in WORKDIR/evaluations for every other; a folder that holds another "
        "evaluation is refused",
    )
    add(
        "--batch_size",
        type=whole(0),
        default=0,
        metavar="N",
        help="windows; default: as in training",
    )
    add("--pictures", type=whole(0), default=4, metavar="N", help="timelines per split")
    add(
        "--ridge",
        default="auto",
        type=one_of("auto", "yes", "no"),
        metavar="auto|yes|no",
        help="per-frame ridge regression for comparison; auto: on simulated corpora",
    )
    parser.add_smoothing()
    return parser


if __name__ == "__main__":
    sys.exit(main())
