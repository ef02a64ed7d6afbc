"""Measures how good a configuration is on people that it has never seen.

    damamba crossval --config=my_corpus.py --seeds=0,1,2

Each fold leaves out some sessions of the training splits. A fold's model learns nothing
from its left-out sessions and chooses nothing by them; they are scored after all folds
are trained. If the table `data.layout.people` says who sat where, nobody is in two
folds. The result also shows classical methods on the same folds, so that you see
whether a network is worth its cost. With --label_delays each fold chooses how far the
annotations lag behind the behaviour.

A last run learns from everybody and gives the model to use. With --final=ensemble, the
mean of all folds' models is the model to use. `damamba predict --workdir=WORKDIR`
takes either.

Tables and numbers go to WORKDIR/crossval.md and .json, and a picture to crossval.png.
After an interruption, the same command continues exactly where it stopped.
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
    # Only warnings are shown: every fold would log the same lines.
    run(functools.partial(_cross_validate, options), console=show_log(logging.WARNING))
    return 0


def _cross_validate(
    options: argparse.Namespace, stop: StopRequest, console: Console
) -> None:
    # These imports take seconds; `--help` and a wrong flag do not wait for them.
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
        help="folder for all runs; default: runs/NAME-crossval",
    )
    add(
        "--folds",
        type=whole(0),
        default=0,
        metavar="N",
        help="number of folds; 0 (default) leaves out one session or person at a time "
        "if there are 25 or fewer, and else makes 10 folds",
    )
    add(
        "--by",
        type=one_of("session", "person"),
        help="what a fold leaves out: `session` leaves out sessions, without regard to "
        "the people in them; `person` leaves out people with all their sessions, and "
        "everybody who sat with them; default: person if the corpus names everybody "
        "(`data.layout.people`), else session",
    )
    add(
        "--label_delays",
        type=not_negative_list,
        default=[],
        metavar="S,S",
        help="delays of the annotations in seconds to choose from, such as 0,1,2,4; "
        "each fold takes the delay that suits its training sessions best; default: "
        "`data.label_delay_seconds` alone",
    )
    add(
        "--seeds",
        type=whole_list,
        default=[0],
        metavar="N,N",
        help="seeds, with commas between; every fold is trained with each; default: 0",
    )
    add(
        "--jobs",
        type=whole(1),
        default=1,
        metavar="N",
        help="number of runs at a time; default: 1",
    )
    add(
        "--final",
        type=one_of(*FINALS),
        default="refit",
        help="model to use in the end: `refit` (default) trains a last run on "
        "everybody; `ensemble` takes the mean of the folds' models, which needs no "
        "further training but makes predictions as many times slower; `none` makes no "
        "model",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
