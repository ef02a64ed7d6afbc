"""Predictions and scores of an earlier evaluation, if they would be the same again.

Predicting takes nearly all the time of an evaluation. The traces of a split hold a key:
a hash of the model's arrays and configuration, of the size and the time of every file
that was read, of the package's code, of JAX and of the device. A split whose key is the
same is not predicted again. The scores of a split have a key of their own, because the
ridge regression among them also depends on the training sessions.
"""

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import jax

from damamba_jax.config.sections import Config
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.data.corpus.splits import EvaluationSplit
from damamba_jax.errors import WorkdirError
from damamba_jax.evaluation.results import SplitResult, read_results
from damamba_jax.inference.estimator import Estimator
from damamba_jax.inference.sessions import Mode
from damamba_jax.runs.digest import digest
from damamba_jax.runs.workdir import RESULTS
from damamba_jax.runtime.programs import package_sources


def model_digest(estimator: Estimator) -> str:
    """Hashes the parameters and the statistics of a model.

    The hash is empty for a model of another class, whose predictions are not kept.
    """
    if type(estimator) is not Estimator:
        return ""
    arrays = {
        "params": jax.device_get(estimator.params),
        "statistics": {k: s._asdict() for k, s in estimator.statistics.items()},
    }
    return "".join(digest(arrays, {}).values())


def prediction_key(
    model: str,
    config: Config,
    split: EvaluationSplit,
    *,
    protocol: Mode,
    batch_size: int,
) -> str:
    """Hashes everything that the predictions of a split depend on.

    Args:
      model: `model_digest` of the model; if it is empty, the key is empty too.
      config: configuration of the model, with the smoothing of the predictions.
      split: split whose sessions are predicted.
      protocol: `"stitched"` or `"long"`, as `predict_sessions` takes it.
      batch_size: windows per batch; the last digits of predictions depend on it.
    """
    if not model:
        return ""
    data = dataclasses.replace(config.data, cache_dir="")
    settings = {name: str(value) for name, value in jax.config.values.items()}
    parts = (
        model,
        repr((config.model, data, config.smoothing, protocol, batch_size)),
        *(repr(session) for session in split.sessions),
        *_files(split.sessions),
        package_sources(),
        *(importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")),
        repr([device.device_kind for device in jax.devices()]),
        repr(sorted((k, v) for k, v in settings.items() if "cache" not in k)),
    )
    return _hash(parts)


def training_key(sessions: Sequence[Session]) -> str:
    """Hashes the files that the ridge regression learns from.

    Args:
      sessions: the training sessions; without any, the key is empty.
    """
    return _hash(_files(sessions)) if sessions else ""


def result_key(predictions: str, training: str) -> str:
    """Hashes everything that the scores of a split depend on.

    Args:
      predictions: key of the predictions; if it is empty, the result is empty too.
      training: key of the ridge regression's training data; empty without a regression.
    """
    return _hash([predictions, training]) if predictions else ""


def _hash(parts: Iterable[str]) -> str:
    # Names from disk may hold bytes that are not text.
    text = "\n".join(parts).encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()[:24]


def kept_results(out: Path) -> dict[tuple[str, str], SplitResult]:
    """Reads the scores of an earlier evaluation in a folder, by split and key."""
    try:
        results = read_results(out / RESULTS)
    except (WorkdirError, OSError, ValueError):
        return {}
    return {(s.split, s.key): s for result in results for s in result.splits if s.key}


def _files(sessions: Sequence[Session]) -> Iterator[str]:
    """Yields path, size and time of every file of the sessions."""
    for session in sessions:
        for participant in session.participants:
            paths: set[Path] = set(participant.label_files)
            for track in participant.tracks.values():
                paths.update(track.files)
            for path in sorted(paths):
                try:
                    status = path.stat()
                except OSError:
                    continue
                yield f"{path} {status.st_size} {status.st_mtime_ns}"
