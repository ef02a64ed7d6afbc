"""Predicts and scores whole splits of a corpus."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.config.rules import check_protocol
from damamba_jax.config.sections import Config, DataConfig
from damamba_jax.config.smoothing import SmoothingConfig
from damamba_jax.data.corpus import sessions
from damamba_jax.data.corpus.splits import (
    EvaluationSplit,
    evaluation_splits,
    training_sessions,
)
from damamba_jax.errors import ConfigError
from damamba_jax.evaluation import combine, kept, scoring
from damamba_jax.evaluation.results import Result, SplitResult, origin_mark
from damamba_jax.evaluation.ridge import Ridge
from damamba_jax.inference import ensemble
from damamba_jax.inference.estimator import Estimator
from damamba_jax.inference.sessions import Mode, predict_sessions
from damamba_jax.inference.smoothing import smooth_traces
from damamba_jax.metrics.trace import Trace
from damamba_jax.runs import traces as trace_files
from damamba_jax.runs.workdir import PREDICTIONS
from damamba_jax.runtime.command import make_console
from damamba_jax.runtime.progress import ProgressLine


def evaluate(
    estimator: Estimator,
    index: sessions.CorpusIndex,
    *,
    out: Path,
    splits: Sequence[str] = (),
    protocol: Mode = "stitched",
    batch_size: int = 0,
    ridge: bool | None = None,
    smoothing: SmoothingConfig | None = None,
    should_stop: Callable[[], bool] | None = None,
    console: Console | None = None,
) -> Result:
    """Predicts and scores splits of a corpus.

    It writes the traces of all people, and predictions for people without labels.

    Args:
      estimator, index: the model and the corpus.
      out: folder for `traces/` and `predictions/`.
      splits: names of the splits; empty means every split that was not trained on.
      protocol: `"stitched"` joins core frames; `"long"` reads a session in one pass.
      batch_size: windows per batch; 0 takes the number of the configuration.
      ridge: whether to fit the per-frame ridge regression on the training sessions, for
        comparison; `None` fits it on simulated corpora.
      smoothing: smoothing of the predictions; `None` takes the configuration's.
      should_stop: function that is called before each batch, and says whether to stop.
      console: console for progress and messages; `None` makes one.

    Raises:
      ConfigError: for a smoothing or a protocol that shows the future to a model that
        must not see it, or for a ridge regression on classes.
      Stopped: if `should_stop` returns true.
    """
    console = console or make_console()
    config = with_protocol(estimator.config, protocol, smoothing)
    chosen = evaluation_splits(index, config.data, splits)
    mark = origin_mark(estimator.simulated, index.simulated)
    run = _Run(
        estimator, config, index, out, protocol, batch_size, console, should_stop,
        ridge=_wants_ridge(index, config.data, ridge),
        known=kept.kept_results(out),
    )  # fmt: skip
    found = [
        run.score(split, split.name if mark == "ours" else f"{split.name} ({mark})")
        for split in chosen
    ]
    return Result(
        method=config.name,
        step=estimator.step,
        protocol=protocol,
        trained_on_simulated=estimator.simulated,
        scored_on_simulated=index.simulated,
        splits=tuple(found),
        smoothing=str(config.smoothing),
    )


def with_protocol(
    config: Config, protocol: Mode, smoothing: SmoothingConfig | None
) -> Config:
    """Returns the configuration of an evaluation.

    Args:
      config: the run's configuration.
      protocol, smoothing: as `evaluate` takes them.

    Raises:
      ConfigError: if one of them shows the future to a model that must not see it.
    """
    # The copy checks that the smoothing fits the model.
    config = dataclasses.replace(config, smoothing=smoothing or config.smoothing)
    check_protocol(config.model, config.data.window, protocol)
    return config


@dataclasses.dataclass
class _Run:
    """One evaluation; it has the arguments of `evaluate`.

    `known` holds the scores of an earlier evaluation, by split and key.
    """

    estimator: Estimator
    config: Config
    index: sessions.CorpusIndex
    out: Path
    protocol: Mode
    batch_size: int
    console: Console
    should_stop: Callable[[], bool] | None
    ridge: bool
    known: Mapping[tuple[str, str], SplitResult]

    def score(self, split: EvaluationSplit, title: str) -> SplitResult:
        """Predicts and scores a split, unless an earlier evaluation has done so."""
        data, size = self.config.data, self.batch_size or self.config.train.batch_size
        key = kept.prediction_key(
            self.model, self.config, split, protocol=self.protocol, batch_size=size
        )
        scores_key = kept.result_key(key, self.training)
        traces = trace_files.read_kept(self.out, split.name, key)
        if traces is not None:
            self.console.print(
                f"{title}: predictions are taken from an earlier evaluation"
            )
            if (before := self.known.get((split.name, scores_key))) is not None:
                return dataclasses.replace(before, is_kept=True)
        else:
            traces = self._predict(split, title, size)
            trace_files.write_traces(self.out, traces, key=key)
        scored = _score(split, traces, self.out, self.baseline)
        oracle = scoring.find_oracle(
            self.index, split.name, data, self.config.model, protocol=self.protocol,
            smoothing=self.config.smoothing,
        )  # fmt: skip
        return dataclasses.replace(scored, oracle=oracle, key=scores_key)

    @functools.cached_property
    def model(self) -> str:
        """Key of the model; it is kept, because hashing takes a while."""
        return kept.model_digest(self.estimator)

    @functools.cached_property
    def training(self) -> str:
        """Key of the ridge regression's training data; empty without a regression."""
        sessions = training_sessions(self.index, self.config.data)
        return kept.training_key(sessions) if self.ridge else ""

    @functools.cached_property
    def baseline(self) -> Ridge | None:
        """The ridge regression, which is fitted when the first split needs it."""
        if not self.ridge:
            return None
        return scoring.fit_baseline(
            self.index, self.config.data, self.estimator.statistics,
            console=self.console, should_stop=self.should_stop,
        )  # fmt: skip

    def _predict(self, split: EvaluationSplit, title: str, size: int) -> list[Trace]:
        with ProgressLine(title, self.console) as progress:
            traces = predict_sessions(
                self.estimator.predict, split.sessions, self.config.data,
                batch_size=size, frame_multiple=self.config.model.frame_multiple,
                protocol=self.protocol, split=split.name, progress=progress,
                should_stop=self.should_stop,
            )  # fmt: skip
        return smooth_traces(traces, self.config.smoothing)


def _wants_ridge(
    index: sessions.CorpusIndex, data: DataConfig, asked: bool | None
) -> bool:
    """Says whether to fit a ridge regression.

    Unless the user has decided, it is fitted if the corpus is simulated and holds the
    training splits.
    """
    if data.classes and asked:
        raise ConfigError(
            "`--ridge`: a regression cannot predict classes; leave it out."
        )
    if asked is not None:
        return asked
    found = {session.split for session in index.sessions}
    return index.simulated and found.issuperset(data.train_splits)


def evaluate_ensemble(
    results: Sequence[Result],
    folders: Sequence[Path],
    index: sessions.CorpusIndex,
    data: DataConfig,
    *,
    out: Path,
    splits: Sequence[str] = (),
) -> Result:
    """Scores the mean of several models' predictions on the splits that all have.

    Args:
      results: the results of `evaluate`, one for each model.
      folders: the folder `out` of each model, which holds `traces/`.
      index: the corpus.
      data: configuration that says which splits are for training and validation.
      out: folder for `traces/` and `predictions/` of the ensemble.
      splits: names of the splits, as `evaluate` got them.

    Raises:
      ConfigError: if the models were not evaluated on the same recordings.
    """
    found = [{split.split for split in result.splits} for result in results]
    scored = {}
    for split in evaluation_splits(index, data, splits):
        if not all(split.name in names for names in found):
            continue
        members = [trace_files.read_traces(folder, split.name) for folder in folders]
        traces = ensemble.average_traces(members)
        trace_files.write_traces(out, traces)
        scored[split.name] = _score(split, traces, out)
    return combine.combine(results, scored)


def _score(
    split: EvaluationSplit,
    traces: Sequence[Trace],
    out: Path,
    baseline: Ridge | None = None,
) -> SplitResult:
    """Scores a split, and writes the predictions of people without labels."""
    scoring.write_predictions(traces, out / PREDICTIONS)
    return dataclasses.replace(
        scoring.score_split(split, traces, baseline),
        predictions=str(out / PREDICTIONS),
    )
