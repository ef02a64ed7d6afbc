"""Command line of the studies: reads flags, runs one study, says how it ended."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import check_field, from_config_dict
from damamba_jax.errors import ConfigError
from damamba_jax.runtime.command import (
    USER_ERRORS,
    expand_home,
    mark_log,
    parse_integers,
    show_log,
)
from damamba_jax.runtime.config_files import find_config_file, load_config
from damamba_jax.runtime.programs import keep_programs
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.studies import ablation, context_length, effects, report, systems
from damamba_jax.studies.engine import Study, run_study

STUDIES = {
    "ablation": ablation,
    "systems": systems,
    "effects": effects,
    "context-length": context_length,
}
# Completes the description of a study with what only its caller can measure.
Prepare = Callable[..., Study]


def main(argv: Sequence[str], *, prepare: Prepare | None = None) -> int:
    """Runs a study and returns the exit status.

    Args:
      argv: the study's name, then flags.
      prepare: called with the study, its folder, `jobs` and `console` before anything
        is trained; returns the study that is run.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(find_config_file(expand_home(argv)))
    if options.jobs < 1:
        parser.error(f"--jobs: expected at least 1, got {options.jobs}")
    if wrong := [flag for flag in rest if not flag.startswith("--config")]:
        parser.error(f"unknown flag {wrong[0]}; all flags: --help")
    show_log(logging.WARNING)
    keep_programs()
    console = Console()
    with StopRequest() as stop:
        try:
            study, out = _describe(options, rest)
            if not study.base.data.root:
                mark_log("simulated: ")
            if prepare:
                study = prepare(study, out, jobs=options.jobs, console=console)
            found = run_study(study, out, jobs=options.jobs, stop=stop, console=console)
            report.write_findings(found, out, console=console)
        except Stopped as signal:
            console.print(f"{signal}: stopped; the same command resumes.")
            return stop.exit_status
        except (ValueError, *USER_ERRORS) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    presets = "\n".join(
        f"  {name:15} {', '.join(module.PRESETS)}" for name, module in STUDIES.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m damamba_jax.study",
        description=f"Studies and their presets, the default first:\n\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="`ablation` also takes --config=FILE:PRESET and its fields, "
        "--config.optim.lr=1e-3, in place of --preset.",
    )
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--preset", default="")
    parser.add_argument("--seeds", default="", help="numbers with commas between")
    parser.add_argument("--num_seeds", type=int, help="so many, from the first one on")
    parser.add_argument(
        "--rows", "--effects", "--lengths", default="",
        help="keys of rows with commas between; of context-length, frames",
    )  # fmt: skip
    parser.add_argument("--split", help="of context-length: the split that is scored")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--workdir", "--out", help="default: runs/STUDY-PRESET")
    return parser


def _describe(options: argparse.Namespace, config: Sequence[str]) -> tuple[Study, Path]:
    """Describes the study that was asked for, and chooses its folder."""
    module = STUDIES[options.study]
    preset = options.preset or next(iter(module.PRESETS))
    base, folder = preset, f"{options.study}-{preset}"
    for flag, given, study in (
        ("--config", config, "ablation"),
        ("--split", options.split, "context-length"),
    ):
        if given and options.study != study:
            raise ConfigError(
                f"`{flag}`: expected with {study} alone, got it with {options.study}."
            )
    if config:
        base = _read_config(config)
        folder = base.name
    elif preset not in module.PRESETS:
        raise ConfigError(
            f"`--preset`: expected one of {', '.join(module.PRESETS)}, got {preset!r}."
        )
    keys, extra = options.rows.split(",") if options.rows else (), {}
    if options.seeds:
        extra["seeds"] = parse_integers("--seeds", options.seeds)
    if options.split:
        extra["split"] = options.split
    study = module.describe(base, keys, **extra)
    if options.num_seeds:
        first = study.seeds[0]
        seeds = tuple(range(first, first + options.num_seeds))
        study = dataclasses.replace(study, seeds=seeds)
    return study, Path(options.workdir or Path("runs") / folder)


def _read_config(argv: Sequence[str]) -> Config:
    """Reads `--config=FILE:PRESET` and the fields that are set beside it."""
    file = next((flag for flag in argv if flag.startswith("--config=")), "")
    config, values = load_config(file.partition("=")[2]), flags.FlagValues()
    fields = ["study", *(flag for flag in argv if flag != file)]
    for field in fields[1:]:
        check_field(config, field.partition("=")[0].partition(".")[2])
    config_flags.DEFINE_config_dict(
        "config", config, "Fields.", flag_values=values, sys_argv=fields
    )
    try:
        values(fields)
    except flags.Error as error:
        raise ConfigError(str(error)) from error
    return from_config_dict(config)
