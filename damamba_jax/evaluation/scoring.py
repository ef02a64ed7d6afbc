"""Scores of predictions, and scores of the references that they are compared with."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from damamba_jax.config.sections import DataConfig
from damamba_jax.config.smoothing import SmoothingConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.data.corpus.ceiling import human_ceiling
from damamba_jax.data.corpus.releases import SIMULATED_FILE
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.corpus.splits import EvaluationSplit, training_sessions
from damamba_jax.data.formats import ssi
from damamba_jax.data.oracle import score as oracle_score
from damamba_jax.data.oracle import views as oracle_views
from damamba_jax.evaluation.results import OracleReference, SplitResult
from damamba_jax.evaluation.ridge import Ridge, fit_ridge
from damamba_jax.files import write_text
from damamba_jax.inference.sessions import Mode, make_trace, show_everybody
from damamba_jax.metrics.agreement import Agreement
from damamba_jax.metrics.fairness import measure_fairness
from damamba_jax.metrics.intervals import score, score_by
from damamba_jax.metrics.trace import Trace
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import Stopped
from damamba_jax.schema.statistics import FeatureStatistics


def score_split(
    split: EvaluationSplit, traces: Sequence[Trace], baseline: Ridge | None = None
) -> SplitResult:
    """Scores the labelled traces of one split, pooled and in groups.

    Args:
      split: the split.
      traces: predictions of the people of the split.
      baseline: ridge regression that is scored on the same frames; `None` for none.
    """
    labelled = [trace for trace in traces if trace.is_labelled]
    result = SplitResult(
        split=split.name,
        kind=split.kind,
        num_sessions=len(split.sessions),
        num_unlabelled=len(traces) - len(labelled),
    )
    if not labelled:
        return result
    return dataclasses.replace(
        result,
        scores=score(labelled),
        by_session=score_by(labelled, "session"),
        by_role=score_by(labelled, "role"),
        by_language=score_by(labelled, "language"),
        ridge=None if baseline is None else _score_baseline(baseline, split),
        raters=human_ceiling(split.sessions).raters,
        fairness=measure_fairness(labelled),
    )


def write_predictions(traces: Sequence[Trace], folder: str | os.PathLike) -> None:
    """Writes the predictions of people without labels, with one frame in each line.

    A line holds the value, or the name of the most probable class. The files are
    `{split}/{session}/{role}.engagement.prediction.csv`, which are the names of the
    challenge.

    Args:
      traces: predictions of the people of a split; those with labels are not written.
      folder: folder for the files.
    """
    for trace in traces:
        if not trace.is_labelled:
            path = Path(folder) / trace.split / trace.session
            path.mkdir(parents=True, exist_ok=True)
            name = path / f"{trace.role}.engagement.prediction.csv"
            if trace.classes:
                numbers = np.nan_to_num(trace.prediction, nan=-1).astype(int).tolist()
                lines = [trace.classes[i] if i >= 0 else "" for i in numbers]
                write_text(name, "".join(f"{line}\n" for line in lines))
            else:
                ssi.write_labels(name, trace.prediction)


def fit_baseline(
    index: CorpusIndex,
    data: DataConfig,
    statistics: Mapping[str, FeatureStatistics],
    *,
    console: Console,
    should_stop: Callable[[], bool] | None = None,
) -> Ridge:
    """Fits the per-frame ridge regression on the training sessions of the model.

    Args:
      index: the corpus.
      data: configuration that names the training splits and the features.
      statistics: centre and scale of each feature.
      console: console for the progress.
      should_stop: function that is called after each session, and says whether to stop.

    Raises:
      Stopped: if `should_stop` returns true.
    """
    title = f"{'simulated ' * index.simulated}ridge regression"
    with ProgressLine(title, console, unit="sessions") as line:

        def progress(done: int, total: int) -> None:
            if should_stop is not None and should_stop():
                raise Stopped("ridge regression: asked to stop.")
            line(done, total)

        return fit_ridge(
            training_sessions(index, data),
            data.features,
            statistics,
            data.cache_dir,
            progress=progress,
        )


def find_oracle(
    index: CorpusIndex,
    split: str,
    data: DataConfig,
    model: SystemConfig,
    *,
    protocol: Mode,
    smoothing: SmoothingConfig,
) -> OracleReference | None:
    """Scores the oracle that sees the same as the model; `None` for recorded data.

    The oracle sees the model's modality groups, its partners, and its window (the whole
    session for the `"long"` protocol). In a domain that was not trained on, it keeps
    the parameters and the rescaling of the training domain: it is then a transfer
    oracle.

    Args:
      index: the corpus.
      split: name of the split.
      data: configuration of the data that the model sees.
      model: configuration of the model.
      protocol: `"stitched"` or `"long"`.
      smoothing: smoothing of the model's predictions.
    """
    root = simulated_root(index)
    if root is None or split not in oracle_views.list_splits(root):
        return None
    window = None if protocol == "long" else data.window
    shown = show_everybody(data, index.split(split))
    score = oracle_score.oracle_ccc(
        root,
        split,
        window=window,
        groups=sorted({feature.group for feature in data.features}),
        partners=shown.participants > 1 and model.fuses_partners,
        causal=model.causal,
    )
    seen = "whole session" if window is None else f"{window.window_seconds:g} s window"
    # The model knows these things from outside its window, but this oracle does not.
    if window is not None and data.normalization == "session":
        seen += " without session statistics"
    if window is not None and smoothing.kind != "none":
        seen += ", unsmoothed"
    is_transfer = oracle_views.is_shifted(root, split)
    return OracleReference(
        seen=seen,
        is_transfer=is_transfer,
        ccc=score.ccc if is_transfer else score.r,
        bare_ccc=score.bare_ccc,
    )


def simulated_root(index: CorpusIndex) -> Path | None:
    """Returns the folder of a simulated corpus; `None` for recordings.

    This folder also holds the files of the oracle.
    """
    if not index.simulated:
        return None
    # The index may start at one of the corpora inside that folder.
    has_marker = (index.root / SIMULATED_FILE).is_file()
    return index.root if has_marker else index.root.parent


def _score_baseline(baseline: Ridge, split: EvaluationSplit) -> Agreement:
    traces = [
        make_trace(
            session, seat, baseline.predict(session, participant), split=split.name
        )
        for session in split.sessions
        for seat, participant in enumerate(session.participants)
        if participant.labels_path is not None
    ]
    return score(traces)
