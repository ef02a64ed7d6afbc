"""Models, built from configuration by `build_model`."""

import numpy as np

from damamba_jax.config import Config
from damamba_jax.models.damamba import DAMamba, Output

__all__ = ["DAMamba", "Output", "build_model"]


def build_model(config: Config, *, draw: bool = True) -> DAMamba:
    """Builds the configured model with parameters drawn from `config.seed`.

    Args:
      config: of the run.
      draw: False makes zeros, for use under `jax.eval_shape`.
    """
    return DAMamba(
        config.model,
        config.data.features,
        frame_hz=config.data.window.frame_hz,
        rng=np.random.default_rng(config.seed) if draw else None,
    )
