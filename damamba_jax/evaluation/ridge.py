"""Per-frame ridge regression, which predicts engagement linearly from one frame.

A sequence model has to beat this baseline. The inputs of a frame are the target's
standardised features, and the mean of the features of the partners who are present;
missing values are 0. One pass over the training sessions computes `Z'Z` in float64,
where a row of `Z` holds the inputs, a one and the label. All the rest is algebra on
these matrices, including the choice of the penalty on left-out sessions. The memory is
a few times `(2 * features)²`.

Least squares shrinks its predictions towards the mean, which lowers the CCC. So the
predictions are rescaled: over left-out training sessions, they get the mean and the
variance of the label. Then the CCC equals the correlation, and no other affine map can
reach more.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.batches.statistics import missing_entries
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.schema.statistics import FeatureStatistics

# The penalties are relative to the number of frames, so that they suit inputs of unit
# variance.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
NUM_FOLDS = 3
# Standardised values are cut here, because extractors write a few huge values.
CLIP = 10.0
# Number of values that are read at a time; it bounds the memory of one block.
BLOCK_VALUES = 1 << 22


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FrameInputs:
    """Reads the inputs of the regression; its arguments are those of `fit_ridge`."""

    features: tuple[FeatureConfig, ...]
    statistics: Mapping[str, FeatureStatistics]
    cache_dir: str

    @property
    def width(self) -> int:
        """Number of input columns: the target's and the partners' features."""
        return 2 * sum(feature.dim for feature in self.features)

    def blocks(
        self,
        session: Session,
        participant: Participant,
        index: Int[np.ndarray, "T"],
    ) -> Iterator[tuple[Int[np.ndarray, "S"], Float[np.ndarray, "S D"]]]:
        """Yields frames of the annotation and their inputs, block by block.

        The inputs are the target's features, and then the mean of the features of the
        partners who are present.

        Args:
          session: the recording.
          participant: the target.
          index: frames of the annotation to read.
        """
        partners = [p for p in session.participants if p.role != participant.role]
        columns = [
            [
                _Column(f, self.statistics[f.name], person, self.cache_dir)
                for person in (participant, *partners)
            ]
            for f in self.features
        ]
        size = max(BLOCK_VALUES // self.width, 1)
        for start in range(0, len(index), size):
            frames = index[start : start + size]
            seconds = frames / session.label_rate
            own, others = [], []
            for target, *rest in columns:
                own.append(target.read(seconds)[0])
                total = np.zeros_like(own[-1])
                count = np.zeros((len(frames), 1), np.float32)
                for partner in rest:
                    values, present = partner.read(seconds)
                    total += values
                    count += present[:, None]
                others.append(total / np.maximum(count, 1.0))
            yield frames, np.concatenate([*own, *others], axis=1)


class _Column:
    """One feature of one person; it is opened once and can be read at any times."""

    def __init__(
        self,
        feature: FeatureConfig,
        statistics: FeatureStatistics,
        participant: Participant,
        cache_dir: str,
    ):
        self._feature, self._statistics = feature, statistics
        self._track = participant.tracks.get(feature.name)
        if self._track is not None and self._track.num_frames:
            self._stream = self._track.open(cache_dir)
        else:
            self._stream = None

    def read(self, seconds: Float[np.ndarray, "T"]) -> tuple[np.ndarray, np.ndarray]:
        """Reads the samples that are nearest to some times.

        Returns:
          The standardised samples, [T, dim], with 0 for missing values; and [T] with 1
          for each sample that exists, else 0.
        """
        if self._track is None or self._stream is None:
            shape = len(seconds), self._feature.dim
            return np.zeros(shape, np.float32), np.zeros(len(seconds), np.float32)
        rows = np.rint(seconds * self._track.rate).astype(np.int64)
        behind = self._track.stops_early & (rows >= self._track.num_frames)
        rows = np.clip(rows, 0, self._track.num_frames - 1)
        with np.errstate(over="ignore"):  # doubles too large for float32 are missing
            values = np.asarray(self._stream.data[rows], np.float32)
        entries, frames = missing_entries(values, feature=self._feature)
        if self._stream.valid is not None:
            gap = ~self._stream.valid[rows]
            entries, frames = entries | gap[:, None], frames | gap
        entries, frames = entries | behind[:, None], frames | behind
        center, inverse_scale = self._statistics
        # Missing entries may be infinite, whose product with 0 would be NaN.
        values = np.where(entries, center, values)
        values = np.clip((values - center) * inverse_scale, -CLIP, CLIP)
        return values, (~frames).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """A fitted regression.

    Args:
      inputs: reader of the inputs.
      weights: weights of the target's features, and then of the partners' mean.
      intercept: intercept of the prediction.
      penalty: penalty that was chosen, relative to the number of frames.
    """

    inputs: FrameInputs
    weights: Float[np.ndarray, "D"]
    intercept: float
    penalty: float

    def predict(
        self, session: Session, participant: Participant
    ) -> Float[np.ndarray, "Tl"]:
        """Predicts every frame of one person's annotation.

        The prediction is as long as the annotation file. Without such a file it has
        `duration * label_rate` frames.
        """
        if participant.labels_path is not None:
            count = len(participant.labels())
        else:
            count = round(session.duration * session.label_rate)
        prediction = np.empty(count, np.float32)
        frames = np.arange(count)
        for index, table in self.inputs.blocks(session, participant, frames):
            prediction[index] = table @ self.weights + self.intercept
        return prediction


def fit_ridge(
    sessions: Sequence[Session],
    features: Sequence[FeatureConfig],
    statistics: Mapping[str, FeatureStatistics],
    cache_dir: str | os.PathLike[str],
    *,
    max_frames: int = 200_000,
    progress: Callable[[int, int], None] | None = None,
) -> Ridge:
    """Fits the regression on the labelled frames of `sessions`.

    Args:
      sessions: the training sessions. Penalty and scale are chosen on these alone, by
        leaving out a third of them in turn. If only one session has labels, the middle
        penalty and the scale of that session are taken.
      features: features that are the inputs, in this order.
      statistics: centre and scale of each feature, from the training sessions.
      cache_dir: folder for binary copies of slow sources.
      max_frames: largest number of labelled frames that are used, approximately; they
        are evenly spaced. More frames would tell little more, because neighbours are
        much alike, and the cost is `frames * features²`.
      progress: function that is called with the numbers of sessions done and of all
        sessions.

    Raises:
      ValueError: if no frame has a label, or a feature lacks statistics.
    """
    unknown = [f.name for f in features if f.name not in statistics]
    if unknown:
        raise ValueError(
            f"`statistics`: expected an entry for {unknown[0]!r}, got only "
            f"{sorted(statistics)}."
        )
    inputs = FrameInputs(
        features=tuple(features), statistics=statistics, cache_dir=str(cache_dir)
    )
    num_frames = sum(p.num_labels for s in sessions for p in _labelled(s))
    every = max(-(-num_frames // max_frames), 1)
    width = inputs.width + 2  # the ones and the label
    folds = np.zeros((min(NUM_FOLDS, len(sessions)), width, width))
    for i, session in enumerate(sessions):
        _add_products(folds[i % len(folds)], inputs, session, every)
        if progress is not None:
            progress(i + 1, len(sessions))
    # A fold without labels is of no use for learning or scoring.
    folds = folds[folds[:, -2, -2] > 0]
    if not len(folds):
        raise ValueError(
            f"`sessions`: expected labelled frames to fit on, got {len(sessions)} "
            "sessions without any."
        )
    return _solve(folds, inputs)


def _solve(folds: Float[np.ndarray, "K W W"], inputs: FrameInputs) -> Ridge:
    total = folds.sum(axis=0)
    fits = []
    penalties = PENALTIES if len(folds) > 1 else PENALTIES[len(PENALTIES) // 2 :][:1]
    for penalty in penalties:
        moments = np.zeros((3, 3))
        for fold in folds:
            seen = total - fold if len(folds) > 1 else fold
            moments += _left_out_moments(fold, _coefficients(seen, penalty))
        fits.append((_Agreement.of(moments), penalty))
    # If several penalties are equally good, the first one is taken.
    fit, penalty = max(fits, key=lambda found: found[0].pearson)
    coefficients = _coefficients(total, penalty)
    # Without any correlation the mean label is the best prediction.
    scale = fit.label_std / fit.std if fit.pearson > 0 else 0.0
    return Ridge(
        inputs=inputs,
        weights=scale * coefficients[:-2],
        intercept=float(fit.label_mean + scale * (coefficients[-2] - fit.mean)),
        penalty=penalty,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Agreement:
    mean: float
    std: float
    label_mean: float
    label_std: float
    pearson: float

    @classmethod
    def of(cls, moments: Float[np.ndarray, "3 3"]) -> "_Agreement":
        """Computes the agreement from sums of products of (prediction, 1, label)."""
        n = moments[1, 1]
        mean, label_mean = moments[0, 1] / n, moments[2, 1] / n
        std = np.sqrt(max(moments[0, 0] / n - mean**2, 0.0))
        label_std = np.sqrt(max(moments[2, 2] / n - label_mean**2, 0.0))
        covariance = moments[0, 2] / n - mean * label_mean
        flat = std * label_std <= 1e-12
        return cls(
            mean=float(mean),
            std=float(std),
            label_mean=float(label_mean),
            label_std=float(label_std),
            pearson=0.0 if flat else float(covariance / (std * label_std)),
        )


def _coefficients(
    products: Float[np.ndarray, "W W"], penalty: float
) -> Float[np.ndarray, "W"]:
    """Solves for the weights and the intercept, which has no penalty.

    The last entry is 0, for the column of the label.
    """
    n = products[-2, -2]
    mean, label_mean = products[:-2, -2] / n, products[-1, -2] / n
    covariance = products[:-2, :-2] / n - np.outer(mean, mean)
    np.fill_diagonal(covariance, covariance.diagonal() + penalty)
    weights = np.linalg.solve(covariance, products[:-2, -1] / n - mean * label_mean)
    return np.concatenate([weights, [label_mean - weights @ mean, 0.0]])


def _left_out_moments(
    products: Float[np.ndarray, "W W"], coefficients: Float[np.ndarray, "W"]
) -> Float[np.ndarray, "3 3"]:
    columns = np.zeros((len(coefficients), 3))
    columns[:, 0], columns[-2, 1], columns[-1, 2] = coefficients, 1.0, 1.0
    return columns.T @ products @ columns


def _add_products(
    products: Float[np.ndarray, "W W"],
    inputs: FrameInputs,
    session: Session,
    every: int,
) -> None:
    for participant in _labelled(session):
        labels = np.asarray(participant.labels(), np.float64)
        rated = np.flatnonzero(np.isfinite(labels))[::every]
        for index, values in inputs.blocks(session, participant, rated):
            table = np.ones((len(index), len(products)))
            table[:, :-2] = values
            table[:, -1] = labels[index]
            products += table.T @ table


def _labelled(session: Session) -> list[Participant]:
    return [p for p in session.participants if p.labels_path is not None]
