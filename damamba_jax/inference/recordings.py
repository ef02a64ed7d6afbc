"""Scores of new recordings, by one trained model or by the mean of several."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.rules import check_protocol
from damamba_jax.config.sections import Config, DataConfig
from damamba_jax.config.tree import changed_fields, flatten
from damamba_jax.data.corpus.array_source import Arrays, session_of_arrays
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.errors import ConfigError
from damamba_jax.inference.ensemble import average_traces
from damamba_jax.inference.sessions import Mode, predict_sessions
from damamba_jax.inference.smoothing import smooth_traces
from damamba_jax.metrics.coverage import Band
from damamba_jax.metrics.trace import Trace, likeliest
from damamba_jax.metrics.turns import Turns, turn_means
from damamba_jax.runs.bands import Bands

# Fields of `data` that are equal in models with one mean score, as are features and
# layout.
_SHARED = ("label_range", "label_unit", "classes", "classes_ordered")
# At most so many differences between two models are listed.
_MOST_LINES = 11


class Member(NamedTuple):
    """One trained model of those whose mean scores a recording.

    Attributes:
      config: the configuration of the run that trained the model.
      bands: the bands around scores that hold most annotations of people on whom the
        model was not trained.
      predict: the function that scores a batch, like `Estimator.predict`.
      shares_people: whether `predict` takes batches in which everybody is a target.
    """

    config: Config
    bands: Bands
    predict: Callable[..., Any]
    shares_people: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ParticipantScores:
    """The scores of one participant of a recording.

    Args:
      participant: the name of the participant.
      rate: the number of scores per second, in Hz.
      time: the seconds since the recording began.
      score: the score in the range of the annotations of training, or the number of the
        likeliest class; NaN where nothing could be scored.
      low, high: the band that holds most annotations of people who were not trained on;
        `None` if it could not be measured.
      turns: the turns of the recording; `None` if no table lists them.
      turn_score: the score of each turn.
      turn_band: the reach of the band below and above the scores of turns; `None` if it
        could not be measured.
      label_range: the lowest and the highest annotation.
      classes: the names of the classes; empty if scores are values of a range.
      probability: the probability of each class, for each frame.
      turn_probability: the probability of each class, for each turn.
    """

    participant: str
    rate: float
    time: Float[np.ndarray, "T"]
    score: Float[np.ndarray, "T"]
    low: Float[np.ndarray, "T"] | None
    high: Float[np.ndarray, "T"] | None
    turns: Turns | None
    turn_score: Float[np.ndarray, "n"] | None
    turn_band: float | None
    label_range: tuple[float, float]
    classes: tuple[str, ...] = ()
    probability: Float[np.ndarray, "T K"] | None = None
    turn_probability: Float[np.ndarray, "n K"] | None = None

    @property
    def class_shares(self) -> dict[str, float]:
        """The share of the scored frames that have each class."""
        there = self.score[np.isfinite(self.score)]
        return {
            name: float(np.mean(there == i)) if len(there) else 0.0
            for i, name in enumerate(self.classes)
        }

    def __repr__(self) -> str:
        """Returns one line, even for a long recording."""
        there = self.score[np.isfinite(self.score)]
        if not there.size:
            return f"{self.participant}: {len(self.time)} frames, none scored"
        said = f"{len(self.time)} frames, {self.time[-1]:.1f} s"
        if self.classes:
            shares = self.class_shares.items()
            each = ", ".join(f"{name} {share:.0%}" for name, share in shares)
            return f"{self.participant}: {said}, {each}"
        return (
            f"{self.participant}: {said}, "
            f"scores {there.min():.3f} to {there.max():.3f}, mean {there.mean():.3f}"
        )


def score_arrays(
    members: Sequence[Member], people: Arrays, rates: Mapping[str, float]
) -> dict[str, ParticipantScores]:
    """Scores a recording that is in memory.

    Args:
      members: the models, which read the same features.
      people: for each person the features by name, each `[T, dim]`.
      rates: the rate of each feature, in Hz. Features without an entry have the rate
        that they have in training.

    Returns:
      The scores of each person.

    Raises:
      ConfigError: if a feature is unknown or has a wrong number of columns or a wrong
        rate, or if there are no people.
    """
    data = members[0].config.data
    session = session_of_arrays(
        people,
        rates,
        data.features,
        label_rate=(data.layout or LayoutConfig).label_rate,
        scale=Scale.of(data),
    )
    (scores,) = score_sessions(members, [session])
    return scores


def score_sessions(
    members: Sequence[Member],
    sessions: Sequence[Session],
    *,
    protocol: Mode = "stitched",
    batch_size: int = 0,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[dict[str, ParticipantScores]]:
    """Scores everybody in some sessions.

    Args:
      members: the models. Scores are the mean of their predictions.
      sessions: the recordings, with or without annotations.
      protocol: the `protocol` of `predict_sessions`.
      batch_size: the number of windows of a batch; 0 takes the batch size of training.
      progress: a function that is called with (batches done, batches in all), where
        the batches of all models are counted.
      should_stop: a function that is asked before each batch.

    Returns:
      For each session, the scores of each participant.

    Raises:
      ConfigError: if the models read different features or predict different things,
        or if the protocol shows the future to a model that must not see it.
      Stopped: if `should_stop` returns true.
    """
    check_configs([member.config for member in members], protocol)
    predictions = []
    for number, member in enumerate(members):
        config = member.config

        def tell(done: int, total: int, number: int = number) -> None:
            if progress is not None:
                progress(number * total + done, len(members) * total)

        traces = predict_sessions(
            member.predict, sessions, config.data,
            batch_size=batch_size or config.train.batch_size,
            frame_multiple=config.model.frame_multiple, protocol=protocol,
            progress=tell, should_stop=should_stop,
            shares_people=member.shares_people,
        )  # fmt: skip
        predictions.append(smooth_traces(traces, config.smoothing))
    traces = predictions[0] if len(members) == 1 else average_traces(predictions)
    bands = widest_bands([member.bands for member in members])
    found: list[dict[str, ParticipantScores]] = [{} for _ in sessions]
    places = {(s.split, s.id): i for i, s in enumerate(sessions)}
    for trace in traces:
        scores = _scores(trace, bands)
        found[places[trace.split, trace.session]][trace.role] = scores
    return found


def check_configs(
    configs: Sequence[Config], protocol: Mode, names: Sequence[str] = ()
) -> None:
    """Checks that models can score together, each of them by the protocol.

    Args:
      configs: configurations of the models' runs.
      protocol: the `protocol` of `predict_sessions`.
      names: what messages call the models; empty numbers them from 1.

    Raises:
      ConfigError: if the models read different features or predict different things,
        or if the protocol shows the future to a model that must not see it.
    """
    for config in configs:
        check_protocol(config.model, config.data.window, protocol)
    names = names or [f"model {number}" for number in range(1, len(configs) + 1)]
    for config, name in zip(configs[1:], names[1:], strict=True):
        lines = changed_fields(*_shared_fields(configs[0].data, config.data))
        if not lines:
            continue
        if len(lines) > _MOST_LINES:
            more = len(lines) - _MOST_LINES + 1
            lines[-more:] = [f"... and {more} more fields"]
        listed = "\n  ".join(lines)
        raise ConfigError(
            f"`--workdir`: expected models with the same features and annotations, got "
            f"other values in {name} than in {names[0]}:\n  {listed}\n"
            f"Leave out one of these two models, or train it again with the values of "
            f"the other."
        )


def _shared_fields(*sections: DataConfig) -> list[dict[str, Any]]:
    """Lists, by path, the fields of each section that must be equal in all of them."""
    trees = [dataclasses.asdict(data) for data in sections]
    # A feature has its name in its path. A number would change with the features before
    # it. A feature or a layout that is not everywhere is one line, not one per field.
    features = [{f["name"]: f for f in tree["features"]} for tree in trees]
    common = set(features[0]).intersection(*features)
    all_laid_out = all(data.layout is not None for data in sections)
    found = []
    for tree, named in zip(trees, features, strict=True):
        fields = {f"data.{name}": tree[name] for name in _SHARED}
        fields |= flatten({name: named[name] for name in common}, "data.features")
        if all_laid_out:
            fields |= flatten(tree["layout"], "data.layout")
        else:
            fields["data.layout"] = None if tree["layout"] is None else "its own"
        found.append({**fields, "data.features": ", ".join(named)})
    return found


def widest_bands(bands: Sequence[Bands]) -> Bands:
    """Returns the widest bands of several models, or none if one model has none."""

    def widest(found: Sequence[Band | None]) -> Band | None:
        there = [band for band in found if band is not None]
        if len(there) < len(found):
            return None
        return max(there, key=lambda band: band.half_width)

    return Bands(widest([b.frame for b in bands]), widest([b.turn for b in bands]))


def _scores(trace: Trace, bands: Bands) -> ParticipantScores:
    turn_score = turn_probability = None
    if trace.turns is not None and trace.classes:
        turn_probability = turn_means(trace.class_probabilities(), trace.turns)
        turn_score = likeliest(turn_probability)
    elif trace.turns is not None:
        turn_score = turn_means(trace.prediction, trace.turns)
    score = np.asarray(trace.prediction, np.float64)
    low = high = None
    if bands.frame is not None:
        least, most = trace.label_range
        low = np.clip(score - bands.frame.half_width, least, most)
        high = np.clip(score + bands.frame.half_width, least, most)
    return ParticipantScores(
        participant=trace.role,
        rate=trace.label_rate,
        time=np.arange(len(score)) / trace.label_rate,
        score=score,
        low=low,
        high=high,
        turns=trace.turns,
        turn_score=turn_score,
        turn_band=bands.turn and bands.turn.half_width,
        label_range=trace.label_range,
        classes=trace.classes,
        probability=trace.probabilities,
        turn_probability=turn_probability,
    )
