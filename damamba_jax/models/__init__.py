"""Models, built from configuration by `build_model`."""

import numpy as np

from damamba_jax.config.sections import DataConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.models.inputs import System

__all__ = ["build_model"]


def build_model(model: SystemConfig, data: DataConfig, *, seed: int | None) -> System:
    """Builds a system; only the module of that system is imported.

    Args:
      model: the system and its architecture.
      data: features, frame rate, window and normalization of the batches.
      seed: seed of the parameters; `None` makes zeros, for use under `jax.eval_shape`.
    """
    rng = None if seed is None else np.random.default_rng(seed)
    match model.system:
        case "damamba":
            from damamba_jax.models.damamba import DAMamba as chosen
        case "dat":
            from damamba_jax.models.dat import DAT as chosen
        case "baseline":
            from damamba_jax.models.baseline import Baseline as chosen
    return chosen(model, data, rng=rng)
