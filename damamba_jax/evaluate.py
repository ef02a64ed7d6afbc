"""Scores a trained model on every split that is on disk.

    python -m damamba_jax.evaluate --workdir=DIR

Whole sessions are predicted, stitched from the cores of the model's windows or in one
long pass. Splits with annotations are scored, the others get one prediction file per
person. Tables go to `results.md` and `results.json`, pictures to `pictures/`, and all
predictions to `traces/`.

    python -m damamba_jax.evaluate --workdir=A --workdir=B --ensemble

puts several models into one table, and with `--ensemble` the mean of their predictions
as one more row.
"""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.data.open import open_corpus
from damamba_jax.errors import ConfigError
from damamba_jax.evaluation.evaluation import evaluate, evaluate_ensemble
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.inference.smoothing import parse_smoothing
from damamba_jax.reporting.results import draw_results, write_results
from damamba_jax.runtime.command import USER_ERRORS, show_log
from damamba_jax.runtime.stop import StopRequest

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(argv)
    show_log()
    # Every file appears in one move and nothing needs saving: without `protect` a
    # signal ends the process at once, within a compilation too.
    with StopRequest():
        try:
            _run(options, Console())
        except USER_ERRORS as error:
            sys.exit(f"error: {error}")
    return 0


def _run(options: argparse.Namespace, console: Console) -> None:
    several = len(options.workdir) > 1
    if options.ensemble and not several:
        raise ConfigError("`--ensemble`: expected two workdirs or more, got one.")
    # A table of several is not the first one's own.
    out = Path(options.out or options.workdir[0])
    if several and not options.out:
        out = out / "compared"
    if options.protocol == "long" and not options.out:
        out = out / "long"
    # The run's own predictions stay as they were.
    if options.smoothing and not options.out:
        out = out / "smoothed"
    names = _names(options.workdir)
    # Several models share the tables only.
    folders = [out / name if several else out for name in names]
    splits = tuple(filter(None, options.splits.split(",")))
    smoothing = parse_smoothing(options.smoothing) if options.smoothing else None
    results = []
    for workdir, name, folder in zip(options.workdir, names, folders, strict=True):
        estimator = load_checkpoint(workdir)
        index = open_corpus(
            estimator.config.data,
            root=options.root,
            labels_root=options.labels_root,
            console=console,
        )
        for problem in index.problems:
            _log.warning("%s", problem)
        result = evaluate(
            estimator,
            index,
            out=folder,
            splits=splits,
            protocol=options.protocol,
            batch_size=options.batch_size,
            ridge={"auto": None, "yes": True, "no": False}[options.ridge],
            smoothing=smoothing,
            console=console,
        )
        if several and name != result.method:
            method = f"{result.method} ({name})"
            result = dataclasses.replace(result, method=method)
        results.append(result)
    if options.ensemble:
        # All of them predicted the same people, or averaging says who differs.
        results.append(
            evaluate_ensemble(
                results, folders, index, estimator.config.data,
                out=out / "ensemble", splits=splits,
            )
        )  # fmt: skip
        folders.append(out / "ensemble")
    for result, folder in zip(results, folders, strict=True):
        draw_results(result, folder, num_timelines=options.pictures)
    write_results(results, out, console=console)


def _names(workdirs: Sequence[str]) -> list[str]:
    """Tells folders apart by their own name, or by as much of their path as it takes.

    Raises:
      ConfigError: if one is given twice.
    """
    parts = [Path(workdir).absolute().parts for workdir in workdirs]
    if len(set(parts)) < len(parts):
        raise ConfigError(f"`--workdir`: expected each folder once, got {workdirs}.")
    for length in range(1, max(map(len, parts)) + 1):
        names = ["-".join(part[-length:]).replace("/", "") for part in parts]
        if len(set(names)) == len(names):
            break
    return names


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
        help="default: the workdir (`compared` in the first of several), or `long` or "
        "`smoothed` in it",
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
