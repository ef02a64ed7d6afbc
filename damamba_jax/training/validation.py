"""Validation during training."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from damamba_jax.config.sections import Config
from damamba_jax.data.batches import windows
from damamba_jax.data.corpus import splits
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.metrics.ccc import ccc
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.training.state import TrainState


def validation_due(step: int, config: Config) -> bool:
    return step > 0 and (
        step % config.train.eval_every == 0 or step == config.train.steps
    )


def make_validation(
    config: Config,
    index: CorpusIndex,
    predict: Callable,
    sharded: NamedSharding,
) -> Callable[[TrainState, Any, StopRequest], dict[str, float]]:
    """Returns `validate(state, statistics, stop)`: scores of the averaged parameters.

    The official pooled metric, over at most `train.eval_batches` batches of windows
    spread over the validation split.
    """
    sessions = splits.validation_sessions(index, config.data)
    source = windows.EvaluationSource(
        sessions,
        config.data,
        batch_size=config.train.batch_size,
        max_batches=config.train.eval_batches,
    )
    num_frames = config.data.window.window_frames

    def spread(x):
        # Every process reads the whole batch and hands over its devices' rows.
        return jax.make_array_from_callback(x.shape, sharded, lambda rows: x[rows])

    def validate(state, statistics, stop):
        labels, scores = [], []
        for batch, rows in windows.read_batches(
            source, num_threads=config.data.num_threads
        ):
            stop.check()
            score = predict(
                state.average,
                jax.tree.map(spread, batch),
                statistics,
                num_frames=num_frames,
            )
            scored = (rows.label_index >= 0) & batch["label_valid"]
            labels.append(batch["label"][scored])
            scores.append(np.asarray(score)[scored])
        label, score = np.concatenate(labels), np.concatenate(scores)
        label, score = label.astype(np.float64), score.astype(np.float64)
        return {
            "val_ccc": float(ccc(label, score)),
            "val_mse": float(np.mean((label - score) ** 2)),
        }

    return validate
