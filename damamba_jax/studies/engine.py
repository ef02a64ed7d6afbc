"""Engine of all studies, which turns a description into runs, scores and gaps.

A study is described by its rows, each with a configuration, and by its seeds. Every
pair of a row and a seed is a training run with a workdir of its own, so that the same
command can continue an interrupted study. Runs of one seed see the same windows in the
same order, so rows are compared in pairs, over seeds and over sessions.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import ConfigError, nearest
from damamba_jax.evaluation.evaluation import evaluate
from damamba_jax.evaluation.results import (
    TITLES,
    OracleReference,
    SplitResult,
    read_results,
)
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.inference.sessions import Mode
from damamba_jax.metrics.agreement import mean_interval
from damamba_jax.metrics.intervals import score
from damamba_jax.metrics.paired_gap import PairedGap, measure_gap
from damamba_jax.metrics.trace import Trace
from damamba_jax.models.functional import abstract_model, parameter_counts
from damamba_jax.reporting.results import write_results
from damamba_jax.reporting.table import Table
from damamba_jax.runs.traces import read_traces
from damamba_jax.runs.workdir import RESULTS
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies.runs import Run, train_all

# The predictions of each seed.
Predictions = list[list[Trace]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a study's tables.

    Args:
      key: name of the row in flags and folders.
      title: name of the row in tables and pictures.
      config: configuration of the row's runs; only the seed differs between them.
      reference: key of the row that this one is compared with; empty for none.
      source: key of the row whose runs this row uses; empty if it trains its own runs.
      derive: function that makes the row's predictions from those of its source.
      protocol: protocol by which the runs of the source are evaluated again.
    """

    key: str
    title: str
    config: Config
    reference: str = ""
    source: str = ""
    derive: Callable[[Predictions], Predictions] | None = None
    protocol: Mode | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The description of a study.

    Args:
      name: name of the study's files.
      base: configuration that the rows change.
      rows: the rows, in the order of the tables.
      seeds: seeds; every trained row has a run for each seed.
      folders: pattern of the runs' workdirs, with `{key}` and `{seed}`.
      tables: function that makes the tables.
      splits: splits that are scored; empty means all that have labels.
      predict: function that predicts the gap of a row on a split, from the measured
        gap, the base configuration and the corpus. It returns `None` if there is
        nothing to predict.
      numbers: numbers that the study adds to its JSON.
    """

    name: str
    base: Config
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    folders: str
    tables: Callable[["Findings"], Sequence[Table]]
    splits: tuple[str, ...] = ()
    predict: Callable[[Row, str, PairedGap, Config, CorpusIndex], float | None] = (
        lambda *_: None
    )
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def workdirs(self, key: str, out: Path) -> list[Path]:
        """Lists the workdirs of a row's runs, seed by seed."""
        return [out / self.folders.format(key=key, seed=seed) for seed in self.seeds]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowScores:
    """The scores of one row with all its seeds, by split.

    Args:
      row: description of the row.
      ccc: CCC of each seed; a mean of several models has one entry.
      interval: ends of the 95 % interval over sessions, averaged over seeds; absent if
        there are too few sessions.
      oracle: scores of the oracle on the same frames; absent for recordings.
      gap: CCC that the row loses against its reference; empty without a reference.
      predicted: gap that the study predicts; `None` if it predicts nothing.
    """

    row: Row
    ccc: Mapping[str, tuple[float, ...]]
    interval: Mapping[str, tuple[float, float]]
    oracle: Mapping[str, OracleReference]
    gap: Mapping[str, PairedGap]
    predicted: Mapping[str, float | None]

    def share(self, split: str) -> float | None:
        """Returns the mean CCC as a share of the oracle's."""
        oracle = self.oracle.get(split)
        return None if oracle is None else fmean(self.ccc[split]) / oracle.ccc


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """The results of a study.

    Args:
      study: description of the study.
      index: the corpus that was scored.
      rows: the scores, in the order of the study's rows.
    """

    study: Study
    index: CorpusIndex
    rows: tuple[RowScores, ...]

    @property
    def splits(self) -> list[str]:
        """The scored splits, in the order of the columns."""
        return list(self.rows[0].ccc)

    @property
    def mark(self) -> str:
        """Mark for titles of results on a simulated corpus; empty for recordings."""
        return " (simulated)" * self.index.simulated


def run_study(
    study: Study, out: Path, *, jobs: int = 1, stop: StopRequest, console: Console
) -> Findings:
    """Trains the runs that are not trained yet, and collects the scores.

    Args:
      study: description of the study.
      out: folder of the study.
      jobs: number of runs at a time.
      stop: watch for signals.
      console: console for the progress.

    Raises:
      Stopped: on a signal, after the state of all active runs was saved.
      TrainingError: if a run fails.
      ValueError: for bad configuration or data, or if runs were scored on different
        frames; the message says what to change.
    """
    # A simulated corpus must be drawn once, before several runs need it.
    index = open_corpus(study.base.data)
    mark = "simulated " * index.simulated
    runs = list_runs(study, out, jobs=jobs)
    train_all(runs, title=f"{mark}{study.name}", jobs=jobs, stop=stop, console=console)
    rows = tuple(_score_row(study, row, out, index, console) for row in study.rows)
    return Findings(study=study, index=index, rows=rows)


def list_runs(study: Study, out: Path, *, jobs: int = 1) -> list[Run]:
    """Lists the runs of a study in the order in which they start.

    Runs one after the other go row by row, because the seeds of a row share their
    compiled programs. Runs at the same time go seed by seed, so that they compile
    different programs at the same time.
    """
    runs = [
        Run(
            title=f"{row.key}, seed {seed}",
            config=dataclasses.replace(row.config, seed=seed),
            folder=folder,
        )
        for row in study.rows
        if not row.source
        for seed, folder in zip(study.seeds, study.workdirs(row.key, out), strict=True)
    ]
    return sorted(runs, key=lambda run: run.config.seed) if jobs > 1 else runs


def _score_row(
    study: Study, row: Row, out: Path, index: CorpusIndex, console: Console
) -> RowScores:
    folders = study.workdirs(row.source or row.key, out)
    if row.protocol:
        folders = [_evaluate_again(f, row.protocol, index, console) for f in folders]
    runs = [read_scores(folder, study.splits) for folder in folders]
    ccc, interval, gap, predicted = {}, {}, {}, {}
    for split in runs[0]:
        scored = [one for one in (run[split].scores for run in runs) if one is not None]
        ccc[split] = tuple(one.value for one in scored)
        ends = mean_interval(scored)
        if row.derive is None and ends is not None:
            interval[split] = ends
        if row.derive is None and not row.reference:
            continue
        predictions = [read_traces(folder, split) for folder in folders]
        if row.derive is not None:
            predictions = row.derive(predictions)
            ccc[split] = tuple(score(p).value for p in predictions)
        if row.reference:
            others = study.workdirs(row.reference, out)
            reference = [read_traces(folder, split) for folder in others]
            gap[split] = _pair(reference, predictions)
            predicted[split] = study.predict(row, split, gap[split], study.base, index)
    oracle = {split: one.oracle for split, one in runs[0].items() if one.oracle}
    return RowScores(
        row=row, ccc=ccc, interval=interval, oracle=oracle, gap=gap, predicted=predicted
    )


def _pair(reference: Predictions, predictions: Predictions) -> PairedGap:
    if len(predictions) == len(reference):
        return measure_gap(reference, predictions)
    # All seeds make one model here. Other seeds would make another model, and the
    # spread of such models is unknown.
    gap = measure_gap(reference, predictions * len(reference))
    return gap._replace(seed_error=None, standard_error=gap.session_error)


def _evaluate_again(
    folder: Path, protocol: Mode, index: CorpusIndex, console: Console
) -> Path:
    """Evaluates a finished run by another protocol, unless this was done before."""
    out = folder / protocol
    if not (out / RESULTS).is_file():
        result = evaluate(
            load_checkpoint(folder), index, out=out, protocol=protocol, ridge=False,
            console=console,
        )  # fmt: skip
        write_results([result], out, console=console)
    return out


def read_scores(folder: Path, splits: Sequence[str] = ()) -> dict[str, SplitResult]:
    """Reads the scored splits of one evaluation, the published ones first.

    Args:
      folder: folder of the evaluation.
      splits: splits that are read if they have labels; empty means all.
    """
    (result,) = read_results(folder / RESULTS)
    labelled = {split.split: split for split in result.splits if split.scores}
    names = splits or dict.fromkeys([*TITLES, *labelled])
    return {name: labelled[name] for name in names if name in labelled}


def choose_rows(
    keys: Sequence[str], known: Iterable[str], always: Collection[str]
) -> list[str]:
    """Chooses rows by their keys, in the order of `known`.

    Args:
      keys: keys that were asked for; empty means all.
      known: keys of all rows.
      always: keys of rows that are always taken.

    Raises:
      ConfigError: for an unknown key.
    """
    known = list(known)
    if unknown := [key for key in keys if key not in known]:
        raise ConfigError(
            f"`--rows`: unknown row {unknown[0]!r}{nearest(unknown[0], known)}"
        )
    return [key for key in known if not keys or key in keys or key in always]


@functools.cache
def count_parameters(config: Config) -> int:
    """Counts the parameters of a model from its shapes, without building it."""
    return sum(parameter_counts(abstract_model(config.model, config.data)[1]).values())
