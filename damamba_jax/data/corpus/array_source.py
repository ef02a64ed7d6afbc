"""Makes a session, like those on disk, from a recording that is in memory."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.patterns import Match
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.data.formats.ssi import Stream
from damamba_jax.errors import ConfigError, nearest

# The name of the session, which has no folder that could name it.
IN_MEMORY = "in memory"

Arrays = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ArraySource:
    """The samples of one feature of one person.

    Args:
      data: float32 or float64 `[T, dim]`; NaN where a sample is missing.
      rate: frames per second, Hz.
      pieces: files that the samples come from; there are none.
    """

    data: Float[np.ndarray, "T dim"]
    rate: float
    pieces: tuple[Match, ...] = ()

    def open(self, cache_dir: str | os.PathLike | None) -> Stream:
        """Returns the samples; nothing is kept on disk."""
        del cache_dir
        return Stream(self.data, self.rate, None)


def session_of_arrays(
    people: Arrays,
    rates: Mapping[str, float],
    features: Sequence[FeatureConfig],
    *,
    label_rate: float,
    scale: Scale,
) -> Session:
    """Makes a session from the arrays of each person.

    Args:
      people: arrays `[T, dim]` by person and by name of the feature. A feature that a
        person does not have counts as missing.
      rates: rate of each feature, Hz. A feature that is not named here has the rate of
        its configuration.
      features: the features that the model was trained on.
      label_rate: rate of the scores, Hz.
      scale: range or classes of the scores.

    Raises:
      ConfigError: for an unknown feature, a malformed array, one of another width, a
        rate that is not positive, no person, or a person without any sample.
    """
    known = {feature.name: feature for feature in features}
    for name in rates:
        _check_name("rates", name, known)
    if not people:
        raise ConfigError("`people`: expected one person or more, got none.")
    participants = []
    for person, arrays in people.items():
        tracks = {
            name: _track(person, _check_name(person, name, known), array, rates)
            for name, array in arrays.items()
        }
        if not any(track.num_frames for track in tracks.values()):
            raise ConfigError(
                f"`people[{person!r}]`: expected some of the features "
                f"{', '.join(known)}, got nothing."
            )
        participants.append(Participant(role=str(person), tracks=tracks))
    tracks = [track for p in participants for track in p.tracks.values()]
    return Session(
        corpus=IN_MEMORY,
        split=IN_MEMORY,
        id=IN_MEMORY,
        participants=tuple(participants),
        duration=max(track.seconds for track in tracks),
        label_rate=label_rate,
        label_range=scale.label_range,
        classes=scale.classes,
        classes_ordered=scale.ordered,
    )


def _check_name(
    where: str, name: str, known: Mapping[str, FeatureConfig]
) -> FeatureConfig:
    if name not in known:
        raise ConfigError(f"`{where}`: unknown feature {name!r}{nearest(name, known)}")
    return known[name]


def _track(
    person: str, feature: FeatureConfig, array: Any, rates: Mapping[str, float]
) -> Track:
    where = f"`people[{person!r}][{feature.name!r}]`"
    try:
        data = np.asarray(array)
        if data.dtype not in (np.float32, np.float64):
            data = data.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: expected an array of numbers, {error}.") from error
    if data.ndim != 2 or data.shape[1] != feature.dim:
        raise ConfigError(
            f"{where}: expected [frames, {feature.dim}], as the model was trained on, "
            f"got {list(data.shape)}."
        )
    rate = float(rates.get(feature.name, feature.rate))
    if not 0 < rate < np.inf:
        raise ConfigError(f"`rates[{feature.name!r}]`: expected > 0 Hz, got {rate}.")
    return Track(
        feature=feature,
        path=Path(IN_MEMORY),
        rate=rate,
        num_frames=len(data),
        header_rate=rate,
        source=ArraySource(data=data, rate=rate),
    )
