"""Tells how a recording differs from the recordings that a model was trained on."""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.batches.session_statistics import sample_frames
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.schema.statistics import FeatureStatistics

# A column is far off if its median differs from that of the training data by more than
# this many of the training data's deviations. People differ by one or two.
FAR_OFF = 4.0
# A feature is mentioned if more than this share of its columns is far off.
SHARE = 0.1


def describe_unlike(
    session: Session,
    features: Sequence[FeatureConfig],
    statistics: Mapping[str, FeatureStatistics],
    cache_dir: str | os.PathLike[str],
) -> Iterator[str]:
    """Says which features are missing, empty or far from the training data.

    Args:
      session: the recording.
      features: the features that the model reads.
      statistics: the centre and the spread of each feature in training.
      cache_dir: the folder in which slow sources keep their binary copies.

    Yields:
      A line for each person and feature that is unlike the training data.
    """
    for person in session.participants:
        for feature in features:
            track = person.tracks.get(feature.name)
            where = f"{session.id} {person.role}: {feature.name}"
            if track is None or not track.num_frames:
                yield f"{where} is missing"
                continue
            frames = sample_frames(track, cache_dir)
            if not np.isfinite(frames).any():
                yield f"{where} has no valid value"
                continue
            center, inverse_scale = (np.asarray(x) for x in statistics[feature.name])
            with np.errstate(all="ignore"):
                middle = np.array([_median(column) for column in frames.T])
            distance = np.abs((middle - center) * inverse_scale)
            distance = np.where(np.isfinite(distance), distance, 0.0)
            # The model never sees dropped columns, such as numbers of frames.
            distance[[*feature.drop_columns]] = 0.0
            far = np.flatnonzero(distance > FAR_OFF)
            if len(far) > SHARE * feature.dim:
                worst = int(distance.argmax())
                yield (
                    f"{where} is unlike the training data in {len(far)} of "
                    f"{feature.dim} columns; column {worst} has {middle[worst]:.4g} "
                    f"instead of {center[worst]:.4g}; check its unit"
                )


def _median(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(np.median(there)) if there.size else np.nan
