"""Validation during training, with the same prediction code as a trained model."""

from collections.abc import Callable, Sequence
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
from damamba_jax.metrics.classes import confusion_matrix, kappa_of
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import Statistics
from damamba_jax.runtime.programs import Shapes
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.schema.batch import Batch


class Validation:
    """Scores averaged parameters on the validation split.

    The score is the official pooled metric, CCC or kappa. It is computed over at most
    `train.eval_batches` batches of windows with ratings, which are spread over the
    split.

    Args:
      model: the system and its architecture.
      data: the windows and the validation split.
      train: the size and the number of the batches.
      index: the corpus.
      sharding: the placement of the rows of a batch on the devices.

    Raises:
      CorpusError: if the split has no rating.
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
            targets="rated",
            max_batches=train.eval_batches,
        )
        self._model, self._data, self._sharding = model, data, sharding

    def score(
        self, average: FlatParams, statistics: Statistics, stop: StopRequest
    ) -> dict[str, float]:
        """Computes the scores for `metrics.jsonl` with averaged parameters.

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
        turn = np.concatenate(turns) if self._data.label_unit == "turn" else None
        if self._data.classes:
            return _score_classes(label, score, turn)
        return _score_numbers(label, score, turn, self._data.label_range)

    def _compile(self, batch: Batch) -> Callable[..., Any]:
        """Compiles for the first batch. All batches have its shape."""
        # One device needs no sharding, and then shares its program with `Estimator`.
        several = self._sharding if self._sharding.num_devices > 1 else None
        return compile_predict(
            self._model,
            self._data,
            Shapes.of(batch, several),
            self._data.window.window_frames,
        )

    def _spread(self, x: np.ndarray) -> jax.Array:
        # Every process reads the whole batch and gives its own devices their rows.
        return jax.make_array_from_callback(
            x.shape, self._sharding, lambda rows: x[rows]
        )


def validation_score(data: DataConfig) -> str:
    """Names the score of `metrics.jsonl` that chooses the best checkpoint."""
    return "val_kappa" if data.classes else "val_ccc"


def _score_numbers(
    label: Float[np.ndarray, "T"],
    score: Float[np.ndarray, "T"],
    turn: Int[np.ndarray, "T"] | None,
    label_range: Sequence[float],
) -> dict[str, float]:
    if turn is not None:
        label, score = _by_turn(turn, label), _by_turn(turn, score)
    span = label_range[1] - label_range[0]
    return {
        "val_ccc": float(ccc(label, score)),
        "val_mse": span**2 * float(np.mean((label - score) ** 2)),
    }


def _score_classes(
    label: Float[np.ndarray, "T"],
    probability: Float[np.ndarray, "T K"],
    turn: Int[np.ndarray, "T"] | None,
) -> dict[str, float]:
    size = probability.shape[1]
    number = label.astype(np.int64)
    if turn is not None:
        # The most frequent class of a turn counts, as in `metrics/turns.py`.
        number = _by_turn(turn, np.eye(size)[number]).argmax(axis=1)
        probability = _by_turn(turn, probability)
    table = confusion_matrix(number, probability.argmax(axis=1), size)
    chosen = np.take_along_axis(probability, number[:, None], axis=1)
    return {
        "val_kappa": kappa_of(table).item(),
        "val_accuracy": float(np.trace(table) / table.sum()),
        "val_cross_entropy": float(-np.mean(np.log(np.maximum(chosen, 1e-12)))),
    }


def _by_turn(
    turn: Int[np.ndarray, "T"], values: Float[np.ndarray, "T *K"]
) -> Float[np.ndarray, "n *K"]:
    """Averages the frames of each turn. Frames outside of turns do not count."""
    inside = turn >= 0
    numbers, which, count = np.unique(
        turn[inside], return_inverse=True, return_counts=True
    )
    total = np.zeros((len(numbers), *values.shape[1:]))
    np.add.at(total, which, values[inside])
    return total / count.reshape(-1, *[1] * (values.ndim - 1))
