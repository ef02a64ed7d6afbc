"""Start of a run: parameters and statistics before the first step."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console

from damamba_jax.config.sections import Config, FeatureConfig
from damamba_jax.data.batches.statistics import fit_statistics
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.errors import CheckpointError, ConfigError
from damamba_jax.inference.estimator import Estimator, load_checkpoint
from damamba_jax.models.functional import (
    Params,
    abstract_model,
    draw_parameters,
)
from damamba_jax.runs.checkpoints import check_shapes
from damamba_jax.runs.digest import leaves_by_path
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.schema.statistics import FeatureStatistics

_log = logging.getLogger(__name__)


class Start(NamedTuple):
    """Statistics and parameters before the first step.

    Attributes:
      statistics: the statistics of each feature, for standardisation.
      params: the tree of parameters.
    """

    statistics: Mapping[str, FeatureStatistics]
    params: Params


def initialize(
    config: Config, sessions: Sequence[Session], console: Console, *, simulated: bool
) -> Start:
    """Takes statistics and parameters from another run, or makes new ones.

    If the other run has other features, this run takes what fits: the statistics of the
    features that both have, and the parameters with equal names and shapes.

    Args:
      config: the run's configuration. `init_from` names the other run.
      sessions: the training sessions, of which statistics are computed.
      console: the console that shows progress.
      simulated: whether the sessions were drawn and not recorded.

    Raises:
      CheckpointError: if the other run has no checkpoint that can be read.
      ConfigError: if the other run has another normalization, or nothing that fits.
      ShapeError: if the other run has the same features but another model.
    """
    if config.init_from:
        return _take_over(config, sessions, console, simulated=simulated)
    return _make(config, sessions, console, simulated=simulated)


def _make(
    config: Config, sessions: Sequence[Session], console: Console, *, simulated: bool
) -> Start:
    """Estimates statistics and draws parameters."""
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


def _take_over(
    config: Config, sessions: Sequence[Session], console: Console, *, simulated: bool
) -> Start:
    """Takes what fits from the run that `init_from` names."""
    try:
        origin = load_checkpoint(config.init_from)
    except CheckpointError as error:
        raise CheckpointError(f"`init_from`: {error}") from error
    if origin.simulated != simulated:
        trained_on = "simulated" if origin.simulated else "recorded"
        _log.warning(
            "%s was trained on %s data, but this run is not.",
            config.init_from,
            trained_on,
        )
    if origin.config.data.normalization != config.data.normalization:
        raise ConfigError(
            f"`data.normalization`: {config.init_from} was trained on features "
            f"normalised by {origin.config.data.normalization!r}, but this run has "
            f"{config.data.normalization!r}. Use the same value."
        )
    given, wanted = origin.config.data.features, config.data.features
    if [*map(_meaning, given)] == [*map(_meaning, wanted)]:
        _, model = abstract_model(config.model, config.data)
        check_shapes(
            {"model": origin.params}, {"model": model}, source=config.init_from
        )
        # The parameters expect features as they were standardised in their training.
        return Start(dict(origin.statistics), origin.params)
    fresh = _make(config, sessions, console, simulated=simulated)
    kept = [f.name for f in wanted if _meaning(f) in [*map(_meaning, given)]]
    statistics = {n: origin.statistics[n] if n in kept else s
                  for n, s in fresh.statistics.items()}  # fmt: skip
    return Start(statistics, _take_parameters(config, origin, fresh.params, kept))


def _meaning(feature: FeatureConfig) -> FeatureConfig:
    """Returns what the model knows of a feature, without how it is stored on disk."""
    return dataclasses.replace(feature, stems=(), table=None, rate=1.0)


def _take_parameters(
    config: Config, origin: Estimator, fresh: Params, kept: Sequence[str]
) -> Params:
    """Replaces fresh parameters by those of equal name and shape, and logs which.

    Parameters of a feature that has changed are not taken, even if their shape fits.
    """
    new = {feature.name for feature in config.data.features}.difference(kept)
    stored = leaves_by_path(origin.params)
    leaves, missing, taken = [], [], 0
    for path, leaf in leaves_by_path(fresh).items():
        found = stored.get(path, np.zeros(0))
        if np.shape(found) == np.shape(leaf) and new.isdisjoint(path.split(".")):
            taken += np.size(leaf)
            leaves.append(found)
        else:
            missing.append(path)
            leaves.append(leaf)
    total = sum(np.size(leaf) for leaf in leaves)
    if not taken:
        raise ConfigError(
            f"`init_from`: no parameter of {config.init_from} fits this model. Choose "
            "a run of the same system and width."
        )
    parts = dict.fromkeys(".".join(path.split(".")[:2]) for path in missing)
    _log.info(
        "%s: %s of %s parameters are taken over (%.0f %%); features that were trained: "
        "%s; new parts: %s.",
        config.init_from,
        f"{taken:,}",
        f"{total:,}",
        100 * taken / total,
        ", ".join(kept) or "none",
        ", ".join(parts),
    )
    return jax.tree.unflatten(jax.tree.structure(fresh), leaves)
