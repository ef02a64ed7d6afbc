"""Evaluations of trained runs: predictions, scores, pictures and tables."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.config.sections import DataConfig
from damamba_jax.config.smoothing import SmoothingConfig, parse_smoothing
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import CorpusError, UsageError
from damamba_jax.evaluation.evaluation import (
    evaluate,
    evaluate_ensemble,
    with_protocol,
)
from damamba_jax.evaluation.results import Result
from damamba_jax.inference.estimator import Estimator, load_checkpoint
from damamba_jax.reporting.results import draw_results, write_results
from damamba_jax.runs.evaluations import Settings, choose_folder, write_record

_log = logging.getLogger(__name__)


def evaluate_runs(
    settings: Settings,
    *,
    out: str = "",
    batch_size: int = 0,
    num_pictures: int = 4,
    ridge: bool | None = None,
    console: Console,
) -> Path:
    """Evaluates trained runs, and puts them into one table.

    Args:
      settings: settings of the evaluation: the runs, the corpus and the protocol.
      out: folder for all files; empty lets `choose_folder` choose it.
      batch_size: windows per batch; 0 takes the number of the configuration.
      num_pictures: number of timelines for each split.
      ridge: whether to fit the ridge regression; `None` fits it on simulated corpora.
      console: console for progress and tables.

    Returns:
      The folder of the evaluation.

    Raises:
      UsageError: for settings that do not fit together.
      ConfigError: for settings that do not fit a run.
      WorkdirError: if `out` holds another evaluation.
    """
    several = len(settings.workdirs) > 1
    if settings.ensemble and not several:
        raise UsageError("`--ensemble`: expected two workdirs or more, got one.")
    smoothing = parse_smoothing(settings.smoothing) if settings.smoothing else None
    names = _tell_apart(settings.workdirs)
    estimators = _load(settings, smoothing)
    folder = choose_folder(settings, out)
    # Several runs share only the tables; each has a folder for its other files.
    folders = [folder / name if several else folder for name in names]
    score = functools.partial(
        evaluate, splits=settings.splits, protocol=settings.protocol,
        batch_size=batch_size, ridge=ridge, smoothing=smoothing, console=console,
    )  # fmt: skip
    scored = [
        _evaluate_run(estimator, own, settings, score, console)
        for estimator, own in zip(estimators, folders, strict=True)
    ]
    results = [result for result, *_ in scored]
    if several:
        results = [_rename(*one) for one in zip(results, names, strict=True)]
    _, data, index = scored[-1]
    if settings.ensemble:
        # If the runs did not predict the same people, averaging raises an error.
        own = folder / "ensemble"
        together = evaluate_ensemble(
            results, folders, index, data, out=own, splits=settings.splits
        )
        results, folders = [*results, together], [*folders, own]
    for result, own in zip(results, folders, strict=True):
        draw_results(result, own, num_timelines=num_pictures)
    write_results(results, folder, console=console)
    write_record(folder, settings, corpus=index.root, steps=[r.step for r in results])
    return folder


def _load(settings: Settings, smoothing: SmoothingConfig | None) -> list[Estimator]:
    """Loads the models of all runs, and checks that each may be scored like this."""
    estimators = [load_checkpoint(workdir) for workdir in settings.workdirs]
    # An evaluation can take hours. If one run is refused, no other one is evaluated.
    for estimator in estimators:
        with_protocol(estimator.config, settings.protocol, smoothing)
    return estimators


def _evaluate_run(
    estimator: Estimator,
    out: Path,
    settings: Settings,
    score: Callable[..., Result],
    console: Console,
) -> tuple[Result, DataConfig, CorpusIndex]:
    """Evaluates one run on the corpus that the settings name, or on its own."""
    data = estimator.config.data
    index = _open(data, settings, console)
    result = score(estimator, index, out=out)
    if not result.splits:
        raise CorpusError(
            f"{index.root}: expected a split to evaluate besides "
            f"{', '.join(data.train_splits)}, found none; name one with `--splits`."
        )
    return result, data, index


def _rename(result: Result, name: str) -> Result:
    """Adds the name of the folder to a row's method, unless it is the same name."""
    if name == result.method:
        return result
    return dataclasses.replace(result, method=f"{result.method} ({name})")


def _open(data: DataConfig, settings: Settings, console: Console) -> CorpusIndex:
    index = open_corpus(
        data, root=settings.root, labels_root=settings.labels_root, console=console
    )
    for problem in [*index.problems, *index.left_out]:
        _log.warning("%s", problem)
    return index


def _tell_apart(workdirs: Sequence[str]) -> list[str]:
    """Gives each folder a name of its own.

    The name is the last part of the path, or more parts if several folders have the
    same last part.

    Raises:
      UsageError: if a folder is given twice.
    """
    parts = [Path(workdir).absolute().parts for workdir in workdirs]
    if len(set(parts)) < len(parts):
        raise UsageError(
            f"`--workdir`: expected each folder once, got {list(workdirs)}."
        )
    length, names = 0, [""] * len(parts)
    while len(set(names)) < len(names) or not length:
        length += 1
        names = ["-".join(part[-length:]).replace("/", "") for part in parts]
    return names
