"""Scores a trained model on every split that is on disk.

    python -m damamba_jax.evaluate --workdir=DIR

Whole sessions are predicted, stitched from the cores of the model's windows or in one
long pass. Splits with annotations are scored, the others get one prediction file per
person. Tables go to `results.md` and `results.json`, pictures to `pictures/`, all
predictions to `traces/`, and what was evaluated to `evaluation.json`. With other
splits, roots, protocols or smoothings an evaluation gets a folder of its own in
`WORKDIR/evaluations/`: none writes over another.

    python -m damamba_jax.evaluate --workdir=A --workdir=B --ensemble

puts several models into one table, and with `--ensemble` the mean of their predictions
as one more row.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from damamba_jax.runs.evaluations import Settings
from damamba_jax.runtime.command import expand_home, run, show_log
from damamba_jax.runtime.programs import keep_programs
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies.evaluations import evaluate_runs


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(expand_home(sys.argv[1:] if argv is None else argv))
    show_log()
    keep_programs()
    settings = Settings(
        workdirs=tuple(options.workdir),
        root=options.root,
        labels_root=options.labels_root,
        splits=tuple(filter(None, options.splits.split(","))),
        protocol=options.protocol,
        smoothing=options.smoothing,
        ensemble=options.ensemble,
    )

    # Every file appears in one move and nothing needs saving: without `protect` a
    # signal ends the process at once, within a compilation too.
    def body(stop: StopRequest, console: Console) -> None:
        del stop
        evaluate_runs(
            settings,
            out=options.out,
            batch_size=options.batch_size,
            num_pictures=options.pictures,
            ridge={"auto": None, "yes": True, "no": False}[options.ridge],
            console=console,
        )

    run(body)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m damamba_jax.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--workdir",
        required=True,
        action="append",
        metavar="DIR",
        help="of a training run; given several times, the rows stand in one table",
    )
    add(
        "--ensemble",
        action="store_true",
        help="one more row: the mean of the workdirs' predictions",
    )
    add("--root", default="", metavar="DIR", help="corpus, if not the trained one's")
    add("--labels_root", default="", metavar="DIR", help="annotations, if elsewhere")
    add(
        "--splits",
        default="",
        metavar="A,B",
        help="e.g. noxi/test-base,noxi/val; default: all that were not trained on",
    )
    add("--protocol", default="stitched", choices=("stitched", "long"))
    add(
        "--out",
        default="",
        metavar="DIR",
        help="default: the workdir for the run's own evaluation, and a folder of its "
        "own in WORKDIR/evaluations for every other; a folder that holds another "
        "evaluation is refused",
    )
    add("--batch_size", default=0, type=int, help="windows; default: as in training")
    add("--pictures", default=4, type=int, metavar="N", help="timelines per split")
    add(
        "--ridge",
        default="auto",
        choices=("auto", "yes", "no"),
        help="per-frame ridge regression for comparison; auto: on simulated corpora",
    )
    add(
        "--smoothing",
        default="",
        metavar="KIND:SECONDS",
        help="of predictions: none, exponential:S (causal) or gaussian:S; choose it on "
        "validation data; default: the configuration's",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
