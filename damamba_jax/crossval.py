"""Says how good a configuration is on people that it has never seen.

    damamba crossval --config=my_corpus.py --seeds=0,1,2

Sessions of the training splits are left out in turn: nothing is learned from them or
chosen by them, and they are scored once all folds are trained. Where it is known who
sat where, nobody is in two folds. Beside the model stand classical methods on the same
folds, which says whether a network pays. With --label_delays each fold chooses how far
annotations lag behind what they are about.

The last run learns from everybody: it is the model to use. With --final=ensemble it is
the mean of all folds' models. `damamba predict --workdir=WORKDIR` takes either.

Tables and numbers go to WORKDIR/crossval.md and .json, a picture to crossval.png. The
same command goes on where it was interrupted, exactly.
"""

import argparse
import functools
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.runtime.command import run, show_log
from damamba_jax.runtime.parser import (
    Parser,
    not_negative_list,
    one_of,
    whole,
    whole_list,
)
from damamba_jax.runtime.stop import StopRequest

FINALS = ("refit", "ensemble", "none")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    # Every fold would say the same.
    run(functools.partial(_cross_validate, options), console=show_log(logging.WARNING))
    return 0


def _cross_validate(
    options: argparse.Namespace, stop: StopRequest, console: Console
) -> None:
    # These take seconds to import, which neither `--help` nor a wrong flag waits for.
    from damamba_jax.config.tree import from_config_dict
    from damamba_jax.runtime.programs import keep_programs
    from damamba_jax.studies.crossval import cross_validate
    from damamba_jax.studies.crossval_report import write_findings

    keep_programs()
    config = from_config_dict(options.config)
    found = cross_validate(
        config,
        Path(options.workdir or Path("runs") / f"{config.name}-crossval"),
        folds=options.folds,
        by=options.by,
        label_delays=options.label_delays,
        seeds=options.seeds,
        jobs=options.jobs,
        final=options.final,
        stop=stop,
        console=console,
    )
    write_findings(found, console=console)


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("crossval", __doc__)
    parser.add_config(required=True)
    add = parser.add_argument
    add(
        "--workdir",
        default="",
        metavar="DIR",
        help="folder of all runs; default: runs/NAME-crossval",
    )
    add(
        "--folds",
        type=whole(0),
        default=0,
        metavar="N",
        help="0 (default) leaves one out up to 25, and makes 10 folds of more",
    )
    add(
        "--by",
        type=one_of("session", "person"),
        help="what is left out: a session, whoever sits in it, or a person, with all "
        "sessions of theirs and of whoever sat there; default: person where everybody "
        "is known (`data.layout.people`), else session",
    )
    add(
        "--label_delays",
        type=not_negative_list,
        default=[],
        metavar="S,S",
        help="delays of the annotations in seconds, such as 0,1,2,4: each fold takes "
        "the one that suits the sessions it trains on; default: "
        "`data.label_delay_seconds`",
    )
    add(
        "--seeds",
        type=whole_list,
        default=[0],
        metavar="N,N",
        help="numbers with commas between; default: 0",
    )
    add("--jobs", type=whole(1), default=1, metavar="N", help="runs at a time")
    add(
        "--final",
        type=one_of(*FINALS),
        default="refit",
        help="the model to use: `refit` (default) is a last run that learns from "
        "everybody, `ensemble` the mean of the folds' models, which costs no training "
        "and as many times the work to predict; `none` is no model",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
