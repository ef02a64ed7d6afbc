"""Start of a run: parameters and statistics before the first step."""

import logging
from collections.abc import Sequence

from rich.console import Console

from damamba_jax.config.sections import Config
from damamba_jax.data.batches.statistics import fit_statistics
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.errors import ConfigError
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.models import build_model, functional
from damamba_jax.models.functional import abstract_model
from damamba_jax.runs.checkpoints import check_shapes
from damamba_jax.runtime.progress import ProgressLine

_log = logging.getLogger(__name__)


def initialize(
    config: Config, sessions: Sequence[Session], console: Console, *, simulated: bool
):
    """Statistics and parameters before the first step."""
    if config.init_from:
        origin = load_checkpoint(config.init_from)
        if origin.simulated != simulated:
            _log.warning(
                "%s was trained on %s data, this run is not.",
                config.init_from, "simulated" if origin.simulated else "recorded",
            )  # fmt: skip
        if origin.config.data.normalization != config.data.normalization:
            raise ConfigError(
                f"`data.normalization`: {config.init_from} was trained on features "
                f"normalised by {origin.config.data.normalization!r}, this run has "
                f"{config.data.normalization!r}."
            )
        _, wanted = abstract_model(config.model, config.data)
        check_shapes(
            {"model": origin.params}, {"model": wanted}, source=config.init_from
        )
        if origin.config.data.features != config.data.features:
            raise ConfigError(
                f"`init_from`: {config.init_from} was trained on the features "
                f"{_names(origin.config)}, in this order and with these settings; this "
                f"run has {_names(config)}."
            )
        # The parameters expect features as they were standardised in their training.
        return dict(origin.statistics), origin.params
    title = f"{'simulated ' * simulated}feature statistics"
    with ProgressLine(title, console, unit="streams") as progress:
        statistics = fit_statistics(
            sessions,
            config.data.features,
            cache_dir=config.data.cache_dir,
            progress=lambda report: progress(report.done, report.total),
        )
    return statistics, functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )[1]


def _names(config: Config) -> str:
    return ", ".join(feature.name for feature in config.data.features)
