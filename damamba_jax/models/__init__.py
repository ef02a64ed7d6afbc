"""Models, built from configuration by `build_model`."""

import numpy as np

from damamba_jax.config import Config
from damamba_jax.models.damamba import DAMamba, Output

__all__ = ["DAMamba", "Output", "build_model"]


def build_model(config: Config, *, seed: int | None = None) -> DAMamba:
    """Builds the configured model with freshly drawn parameters.

    Args:
      config: of the run.
      seed: of the parameters; `config.seed` when None.
    """
    return DAMamba(
        config.model,
        config.data.features,
        frame_hz=config.data.window.frame_hz,
        rng=np.random.default_rng(config.seed if seed is None else seed),
    )
