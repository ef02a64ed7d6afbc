"""Per-frame ridge regression: what a linear map of one frame knows about engagement.

The baseline that a sequence model has to beat. Each frame's inputs are the target's
standardised features and the mean of those of the partners who are present, missing
values at 0. One pass over the training sessions collects `Z'Z` of the inputs, a one and
the label in float64; everything else, the choice of the penalty on left-out sessions
included, is algebra on these matrices. Memory is a few times `(2 * features)²`.

Least squares shrinks its predictions towards the mean, which CCC punishes. They are
rescaled affinely so that mean and variance over left-out training sessions are those of
the label: then CCC equals the correlation, the most that any affine map can reach.
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

# Relative to the number of frames, so that the grid suits inputs of unit variance.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
NUM_FOLDS = 3
# Standardised values are cut here, as extractors write a few of any size.
CLIP = 10.0
# Values read and converted at a time; bounds the memory of one block.
BLOCK_VALUES = 1 << 22


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FrameInputs:
    """Reads the regression's inputs; the arguments are those of `fit_ridge`."""

    features: tuple[FeatureConfig, ...]
    statistics: Mapping[str, FeatureStatistics]
    cache_dir: str

    @property
    def width(self) -> int:
        """Columns of the inputs: each value, and whether it is missing."""
        return 2 * sum(feature.dim for feature in self.features)

    def blocks(
        self,
        session: Session,
        participant: Participant,
        index: Int[np.ndarray, "T"],
    ) -> Iterator[tuple[Int[np.ndarray, "S"], Float[np.ndarray, "S D"]]]:
        """Yields (label frames, their inputs), some of `index` at a time.

        Inputs are the target's features, then the mean of the present partners'.
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
    """One feature of one person, opened once and read at any times."""

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
        """([T, dim] nearest samples, 0 where missing; [T] 1 for frames that exist)."""
        if self._track is None or self._stream is None:
            shape = len(seconds), self._feature.dim
            return np.zeros(shape, np.float32), np.zeros(len(seconds), np.float32)
        rows = np.rint(seconds * self._track.rate).astype(np.int64)
        behind = self._track.stops_early & (rows >= self._track.num_frames)
        rows = np.clip(rows, 0, self._track.num_frames - 1)
        with np.errstate(over="ignore"):  # doubles beyond float32 become inf: missing
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
      inputs: what it reads.
      weights: the weights of the target's features, then of the partners' mean.
      intercept: the intercept of the prediction.
      penalty: the one chosen, relative to the number of frames.
    """

    inputs: FrameInputs
    weights: Float[np.ndarray, "D"]
    intercept: float
    penalty: float

    def predict(
        self, session: Session, participant: Participant
    ) -> Float[np.ndarray, "Tl"]:
        """Predicts every frame of one person's annotation.

        The length is that of the annotation file, or `duration * label_rate` frames
        where there is none.
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
      sessions: for training; penalty and scale are chosen on these alone, by leaving
        a third of them out in turn (with fewer than two sessions nothing can be left
        out: the middle penalty, and the scale of the fitted sessions).
      features: inputs, in this order.
      statistics: centre and scale of each feature, fitted on training sessions.
      cache_dir: where slow sources keep their binary copies.
      max_frames: about how many labelled frames are used, evenly spaced: neighbours
        tell little more than one frame, and the cost is `frames * features²`.
      progress: called with (sessions done, sessions in all).

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
    # A fold without a label can neither be learned from nor scored.
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
    # Of equally good penalties the first one.
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
        """From `Σ` of the products of (prediction, 1, label)."""
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
    """Weights, the unpenalised intercept, and 0 for the label's own column."""
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
