"""Validation during training, by the prediction path of a trained model."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from damamba_jax.array_types import Float, Int
from damamba_jax.config.sections import DataConfig, TrainConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.data.batches import windows
from damamba_jax.data.corpus import splits
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.inference.estimator import compile_predict
from damamba_jax.metrics.ccc import ccc
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import Statistics
from damamba_jax.runtime.programs import Shapes
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.schema.batch import Batch


class Validation:
    """Scores averaged parameters on the validation split.

    The official pooled metric, over at most `train.eval_batches` batches of windows
    spread over the split.

    Args:
      model: the system and its architecture.
      data: windows and validation split.
      train: size and number of the batches.
      index: the corpus.
      sharding: how the rows of a batch lie on the devices.
    """

    def __init__(
        self,
        model: SystemConfig,
        data: DataConfig,
        train: TrainConfig,
        *,
        index: CorpusIndex,
        sharding: NamedSharding,
    ) -> None:
        self._source = windows.EvaluationSource(
            splits.validation_sessions(index, data),
            data,
            batch_size=train.batch_size,
            max_batches=train.eval_batches,
        )
        self._model, self._data, self._sharding = model, data, sharding
        low, high = data.label_range
        self._span = high - low

    def score(
        self, average: FlatParams, statistics: Statistics, stop: StopRequest
    ) -> dict[str, float]:
        """Computes the scores of `metrics.jsonl` for some averaged parameters.

        Raises:
          Stopped: on a signal, between two batches.
        """
        labels, scores, turns = [], [], []
        for batch, rows in windows.read_batches(
            self._source, num_threads=self._data.num_threads
        ):
            stop.check()
            predict = self._compile(batch)
            score = predict(average, jax.tree.map(self._spread, batch), statistics)
            scored = (rows.label_index >= 0) & batch["label_valid"]
            labels.append(batch["label"][scored])
            scores.append(np.asarray(score)[scored])
            turns.append(rows.turn[scored])
        label, score = (np.concatenate(v).astype(np.float64) for v in (labels, scores))
        if self._data.label_unit == "turn":
            label, score = _by_turn(np.concatenate(turns), label, score)
        return {
            "val_ccc": float(ccc(label, score)),
            "val_mse": self._span**2 * float(np.mean((label - score) ** 2)),
        }

    def _compile(self, batch: Batch) -> Callable[..., Any]:
        """Compiles for the first batch; all are of its shape."""
        # One device needs no sharding, and has its program in common with `Estimator`.
        several = self._sharding if self._sharding.num_devices > 1 else None
        return compile_predict(
            self._model,
            self._data,
            Shapes.of(batch, several),
            self._data.window.window_frames,
        )

    def _spread(self, x: np.ndarray) -> jax.Array:
        # Every process reads the whole batch and hands over its devices' rows.
        return jax.make_array_from_callback(
            x.shape, self._sharding, lambda rows: x[rows]
        )


def _by_turn(
    turn: Int[np.ndarray, "T"],
    label: Float[np.ndarray, "T"],
    score: Float[np.ndarray, "T"],
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Averages the frames of each turn; frames outside of turns do not count."""
    _, which, count = np.unique(
        turn[turn >= 0], return_inverse=True, return_counts=True
    )
    mean_label, mean_score = (
        np.bincount(which, values[turn >= 0]) / count for values in (label, score)
    )
    return mean_label, mean_score
