"""Command line of the studies: it reads the flags, and runs and reports one study."""

import argparse
import functools
import importlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from damamba_jax.config.tree import from_config_dict
from damamba_jax.errors import UsageError, nearest
from damamba_jax.runtime.command import mark_log, run, show_log
from damamba_jax.runtime.parser import Parser, one_of, split_names, whole, whole_list
from damamba_jax.runtime.stop import StopRequest

# Presets of each study, the default first. They stand here because the studies take
# seconds to import; `--help` and a wrong flag do not wait for that.
STUDIES = {
    "ablation": ("small", "converged", "paper"),
    "systems": ("published", "small"),
    "effects": ("demo", "small"),
    "context-length": ("published", "paper", "small"),
}
# Adds measurements to the description of a study that only the caller can make.
Prepare = Callable[..., Any]


def main(argv: Sequence[str] | None = None, *, prepare: Prepare | None = None) -> int:
    """Runs a study and returns the exit status.

    Args:
      argv: name of the study, and flags.
      prepare: function that is called before anything is trained, with the study, its
        folder, `jobs` and `console`; it returns the study that is run.
    """
    options = make_parser().parse(argv)
    console = show_log(logging.WARNING)
    run(functools.partial(_run, options, prepare), console=console)
    return 0


def _run(
    options: argparse.Namespace,
    prepare: Prepare | None,
    stop: StopRequest,
    console: Console,
) -> None:
    _check(options)
    from damamba_jax.runtime.programs import keep_programs
    from damamba_jax.studies import report
    from damamba_jax.studies.engine import run_study

    keep_programs()
    study, out = _describe(options)
    if not study.base.data.root:
        mark_log("simulated: ")
    if prepare:
        study = prepare(study, out, jobs=options.jobs, console=console)
    found = run_study(study, out, jobs=options.jobs, stop=stop, console=console)
    report.write_findings(found, out, console=console)


def make_parser() -> Parser:
    """Makes the parser of `damamba study`."""
    presets = "\n".join(
        f"  {name:15} {', '.join(presets)}" for name, presets in STUDIES.items()
    )
    parser = Parser(
        "study",
        f"Runs a study.\n\nStudies and their presets, the default first:\n\n{presets}"
        "\n\n`ablation` also takes --config=FILE:PRESET and its fields, "
        "--config.optim.lr=1e-3,\nin place of --preset.",
    )
    add = parser.add_argument
    add("study", type=one_of(*STUDIES), metavar="STUDY", help="name of the study")
    add(
        "--preset", default="", metavar="NAME",
        help="preset of the study; see the list above",
    )  # fmt: skip
    add("--seeds", type=whole_list, metavar="N,N", help="seeds, with commas between")
    add(
        "--num_seeds", type=whole(1), metavar="N",
        help="number of seeds, counted up from the first seed",
    )  # fmt: skip
    add(
        "--rows", "--effects", "--lengths", type=split_names, default=(),
        metavar="A,B",
        help="keys of the rows, with commas between; for context-length, lengths of "
        "windows in frames; default: all rows",
    )  # fmt: skip
    add(
        "--split", metavar="NAME",
        help="split that is scored, for context-length only",
    )  # fmt: skip
    add(
        "--jobs", type=whole(1), default=1, metavar="N",
        help="number of runs at a time; default: 1",
    )  # fmt: skip
    add(
        "--workdir", "--out", metavar="DIR",
        help="folder for all runs; default: runs/STUDY-PRESET",
    )  # fmt: skip
    parser.add_config()
    return parser


def _check(options: argparse.Namespace) -> None:
    """Checks flags that depend on each other.

    Raises:
      UsageError: for a flag of another study, or an unknown preset.
    """
    for flag, given, study in (
        ("--config", options.config, "ablation"),
        ("--split", options.split, "context-length"),
    ):
        if given is not None and options.study != study:
            raise UsageError(
                f"`{flag}`: expected only with {study}, got it with {options.study}."
            )
    presets = STUDIES[options.study]
    if options.preset and options.preset not in presets:
        raise UsageError(
            f"`--preset`: unknown preset {options.preset!r}"
            f"{nearest(options.preset, presets)}"
        )


def _describe(options: argparse.Namespace) -> tuple[Any, Path]:
    """Returns the description of the study that was asked for, and its folder."""
    name = options.study.replace("-", "_")
    module = importlib.import_module(f"damamba_jax.studies.{name}")
    base = preset = options.preset or STUDIES[options.study][0]
    folder = f"{options.study}-{preset}"
    if options.config is not None:
        base = from_config_dict(options.config)
        folder = base.name
    extra = {}
    if options.seeds:
        extra["seeds"] = options.seeds
    if options.split:
        extra["split"] = options.split
    describe = functools.partial(module.describe, base, options.rows, **extra)
    study = describe()
    if options.num_seeds:
        first = study.seeds[0]
        # Rows and folders depend on how many seeds there are.
        study = describe(seeds=range(first, first + options.num_seeds))
    return study, Path(options.workdir or Path("runs") / folder)
