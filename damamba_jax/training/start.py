"""Start of a run: parameters and statistics before the first step."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.data.batches.statistics import fit_statistics
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.errors import CheckpointError, ConfigError
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.models.functional import (
    Params,
    abstract_model,
    draw_parameters,
)
from damamba_jax.runs.checkpoints import check_shapes
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.schema.statistics import FeatureStatistics

_log = logging.getLogger(__name__)


class Start(NamedTuple):
    """State of knowledge before the first step.

    Attributes:
      statistics: the statistics of each feature, for standardisation.
      params: tree of parameters.
    """

    statistics: Mapping[str, FeatureStatistics]
    params: Params


def initialize(
    config: Config, sessions: Sequence[Session], console: Console, *, simulated: bool
) -> Start:
    """Takes statistics and parameters from another run, or makes them.

    Args:
      config: the run's configuration; `init_from` names the other run.
      sessions: training sessions, whose statistics are computed.
      console: where progress goes.
      simulated: whether the sessions were drawn.

    Raises:
      ConfigError: if the other run has other features or another normalization.
      ShapeError: if it has another model.
    """
    if config.init_from:
        return _take_over(config, simulated=simulated)
    title = f"{'simulated ' * simulated}feature statistics"
    with ProgressLine(title, console, unit="streams") as progress:
        statistics = fit_statistics(
            sessions,
            config.data.features,
            cache_dir=config.data.cache_dir,
            progress=lambda report: progress(report.done, report.total),
        )
    params = draw_parameters(config.model, config.data, seed=config.seed)
    return Start(statistics, params)


def _take_over(config: Config, *, simulated: bool) -> Start:
    """Takes both from the run that `init_from` names."""
    try:
        origin = load_checkpoint(config.init_from)
    except CheckpointError as error:
        raise CheckpointError(f"`init_from`: {error}") from error
    if origin.simulated != simulated:
        trained_on = "simulated" if origin.simulated else "recorded"
        _log.warning(
            "%s was trained on %s data, this run is not.", config.init_from, trained_on
        )
    if origin.config.data.normalization != config.data.normalization:
        raise ConfigError(
            f"`data.normalization`: {config.init_from} was trained on features "
            f"normalised by {origin.config.data.normalization!r}, this run has "
            f"{config.data.normalization!r}."
        )
    _, wanted = abstract_model(config.model, config.data)
    check_shapes({"model": origin.params}, {"model": wanted}, source=config.init_from)
    if origin.config.data.features != config.data.features:
        raise ConfigError(
            f"`init_from`: {config.init_from} was trained on the features "
            f"{_names(origin.config)}, in this order and with these settings; this "
            f"run has {_names(config)}."
        )
    # The parameters expect features as they were standardised in their training.
    return Start(dict(origin.statistics), origin.params)


def _names(config: Config) -> str:
    return ", ".join(feature.name for feature in config.data.features)
