"""Writes the archive of a MultiMediate challenge, or judges one that anybody made.

    damamba submit --workdir=runs/noxi --profile=mm24 --out=mine.zip
    damamba submit --check=mine.zip --profile=mm24 [--root=DIR]

A workdir is a run, which is evaluated on every test set of its corpus first, the folder
of an evaluation, or a folder of predictions `SPLIT/SESSION/ROLE.*.csv`. Several are put
together: one for values, one for each of PInSoRo's annotations. Every person gets one
line for every frame, within [0, 1] or as the name of a class. An archive with problems
is not written.

With `--root` the people and lengths are compared with those of the corpus. Where its
tests are labelled, their scores are printed, and the challenges' overall scores once
all their parts are there. The exit status is 1 for an archive with problems.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.errors import UsageError
from damamba_jax.runtime.command import run, show_log
from damamba_jax.runtime.parser import Parser, one_of, some_of, split_names
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.submission.profiles import PROFILES, SETS

_SETS = tuple(one.folder for one in SETS)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    # The archive appears in one move: a signal may end the process at once.
    return run(functools.partial(_submit, options), console=show_log())


def _submit(options: argparse.Namespace, stop: StopRequest, console: Console) -> int:
    del stop
    # Reading a corpus takes libraries that `--help` need not wait for.
    from damamba_jax.submission import submit
    from damamba_jax.submission.check import check_archive

    profile, folders = PROFILES[options.profile], tuple(options.sets)
    workdirs = tuple(name for names in options.workdir for name in names)
    if bool(options.check) == bool(workdirs) or bool(options.out) != bool(workdirs):
        raise UsageError(
            "`damamba submit`: expected --workdir=DIR and --out=FILE.zip to write an "
            "archive, or --check=FILE.zip alone to judge one."
        )
    if workdirs:
        request = submit.Request(
            workdirs=workdirs, profile=profile, folders=folders, root=options.root,
            labels_root=options.labels_root, protocol=options.protocol,
            smoothing=options.smoothing,
        )  # fmt: skip
        submit.make_archive(
            request, Path(options.out), overwrite=options.overwrite, console=console
        )
        return 0
    frames = {}
    if options.root:
        frames = submit.count_frames(options.root, options.labels_root)
    report = check_archive(options.check, profile, folders=folders, frames=frames)
    submit.show_report(report, console)
    return 1 if report.problems else 0


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("submit", __doc__)
    add = parser.add_argument
    add(
        "--workdir", type=split_names, action="append", default=[], metavar="DIR",
        help="runs, folders of evaluations, or folders of predictions",
    )  # fmt: skip
    add("--out", default="", metavar="FILE", help="the archive that is written")
    add("--overwrite", action="store_true", help="the archive may replace another file")
    add("--check", default="", metavar="FILE", help="an archive to be judged")
    add(
        "--profile", default="mm26", metavar="NAME",
        type=one_of(*PROFILES),
        help="names of folders and files: of 2023 and 2024; of 2026, as participants "
        "were asked for; or as the organisers' script 4 or 5 wants them; default: mm26",
    )  # fmt: skip
    add(
        "--sets", default=(), metavar="A,B", type=some_of(*_SETS),
        help=f"the only sets that are expected, of {', '.join(_SETS)}; default: all of "
        "the profile",
    )  # fmt: skip
    add("--root", default="", metavar="DIR", help="corpus, if not the trained one's")
    add("--labels_root", default="", metavar="DIR", help="annotations, if elsewhere")
    parser.add_protocol()
    add(
        "--smoothing", default="", metavar="KIND:SECONDS",
        help="of predictions, as `evaluate` takes it; default: the configuration's",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
