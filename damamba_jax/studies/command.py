"""Command line of the studies: reads flags, runs one study, says how it ended."""

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

# Presets of each study, the default first. The studies themselves take seconds to
# import, which neither `--help` nor a wrong flag waits for.
STUDIES = {
    "ablation": ("small", "converged", "paper"),
    "systems": ("published", "small"),
    "effects": ("demo", "small"),
    "context-length": ("published", "paper", "small"),
}
# Completes the description of a study with what only its caller can measure.
Prepare = Callable[..., Any]


def main(argv: Sequence[str] | None = None, *, prepare: Prepare | None = None) -> int:
    """Runs a study and returns the exit status.

    Args:
      argv: the study's name, then flags.
      prepare: called with the study, its folder, `jobs` and `console` before anything
        is trained; returns the study that is run.
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
    add("study", type=one_of(*STUDIES), metavar="STUDY", help="the name of the study")
    add("--preset", default="", metavar="NAME", help="of the study; see above")
    add("--seeds", type=whole_list, metavar="N,N", help="numbers with commas between")
    add(
        "--num_seeds", type=whole(1), metavar="N", help="so many, from the first one on"
    )
    add(
        "--rows", "--effects", "--lengths", type=split_names, default=(),
        metavar="A,B",
        help="keys of rows with commas between; of context-length, frames",
    )  # fmt: skip
    add("--split", metavar="NAME", help="of context-length: the split that is scored")
    add("--jobs", type=whole(1), default=1, metavar="N", help="runs at a time")
    add("--workdir", "--out", metavar="DIR", help="default: runs/STUDY-PRESET")
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
                f"`{flag}`: expected with {study} alone, got it with {options.study}."
            )
    presets = STUDIES[options.study]
    if options.preset and options.preset not in presets:
        raise UsageError(
            f"`--preset`: unknown preset {options.preset!r}"
            f"{nearest(options.preset, presets)}"
        )


def _describe(options: argparse.Namespace) -> tuple[Any, Path]:
    """Describes the study that was asked for, and chooses its folder."""
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
