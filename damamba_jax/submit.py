"""Writes the archive for a MultiMediate challenge, or checks an existing archive.

    damamba submit --workdir=runs/noxi --profile=mm24 --out=mine.zip
    damamba submit --check=mine.zip --profile=mm24 [--root=DIR]

A workdir is a run, the folder of an evaluation, or a folder of predictions
`SPLIT/SESSION/ROLE.*.csv`. A run is first evaluated on every test set of its corpus.
Several workdirs go into one archive: one for values, and one for each of PInSoRo's
annotations. Every person gets one line for every frame: a number within [0, 1] or the
name of a class. An archive with problems is not written.

With `--root`, the people and the lengths are compared with those of the corpus. If the
test sets have labels there, their scores are printed. If all parts of a challenge are
there, its overall score is printed too. The exit status is 1 for an archive with
problems.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.errors import UsageError
from damamba_jax.runtime.command import run, show_log
from damamba_jax.runtime.parser import (
    OF_THE_MODEL,
    Parser,
    one_of,
    some_of,
    split_names,
)
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.submission.profiles import PROFILES, SETS

_SETS = tuple(one.folder for one in SETS)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    # The archive appears in one move, so a signal may end the process at once.
    return run(functools.partial(_submit, options), console=show_log())


def _submit(options: argparse.Namespace, stop: StopRequest, console: Console) -> int:
    del stop
    # Reading a corpus needs libraries that `--help` does not wait for.
    from damamba_jax.submission import submit
    from damamba_jax.submission.check import check_archive

    profile, folders = PROFILES[options.profile], tuple(options.sets)
    workdirs = tuple(name for names in options.workdir for name in names)
    if bool(options.check) == bool(workdirs) or bool(options.out) != bool(workdirs):
        raise UsageError(
            "`damamba submit`: expected --workdir=DIR and --out=FILE.zip to write an "
            "archive, or --check=FILE.zip alone to check one."
        )
    if workdirs:
        request = submit.Request(
            workdirs=workdirs, profile=profile, folders=folders, root=options.root,
            labels_root=options.labels_root, protocol=options.protocol,
            smoothing=options.smoothing or "",
        )  # fmt: skip
        submit.make_archive(
            request, Path(options.out), overwrite=options.overwrite, console=console
        )
        return 0
    # A wrong set is told before the corpus is read.
    profile.choose(folders)
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
    add("--out", default="", metavar="FILE", help="archive to write")
    add(
        "--overwrite", action="store_true",
        help="let the new archive replace a file of the same name",
    )  # fmt: skip
    add("--check", default="", metavar="FILE", help="existing archive to check")
    add(
        "--profile", default="mm26", metavar="NAME",
        type=one_of(*PROFILES),
        help="names of folders and files: mm24 has those of 2023 and 2024, mm26 those "
        "that participants were asked for in 2026, mm26-script4 and mm26-script5 those "
        "that the organisers' scripts of 2026 expect; default: mm26",
    )  # fmt: skip
    add(
        "--sets", default=(), metavar="A,B", type=some_of(*_SETS),
        help=f"sets that the archive must hold, from {', '.join(_SETS)}; default: all "
        "sets of the profile",
    )  # fmt: skip
    parser.add_roots(OF_THE_MODEL)
    parser.add_protocol()
    parser.add_smoothing()
    return parser


if __name__ == "__main__":
    sys.exit(main())
