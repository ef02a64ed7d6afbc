"""Models, built from configuration by `build_model`."""

import numpy as np

from damamba_jax.config.sections import Config
from damamba_jax.models.baseline import Baseline
from damamba_jax.models.damamba import DAMamba
from damamba_jax.models.dat import DAT
from damamba_jax.models.inputs import Output

__all__ = ["DAMamba", "DAT", "Baseline", "Output", "build_model"]


def build_model(config: Config, *, draw: bool = True) -> DAMamba | DAT | Baseline:
    """Builds the configured system with parameters drawn from `config.seed`.

    Args:
      config: of the run; `model.system` says which system.
      draw: False makes zeros, for use under `jax.eval_shape`.
    """
    window = config.data.window
    shared = {
        "frame_hz": window.frame_hz,
        "session_statistics": config.data.normalization == "session",
        "rng": np.random.default_rng(config.seed) if draw else None,
    }
    match config.model.system:
        case "damamba":
            return DAMamba(config.model, config.data.features, **shared)
        case "dat":
            return DAT(
                config.model,
                config.data.features,
                window_frames=window.window_frames,
                **shared,
            )
        case "baseline":
            return Baseline(config.model, config.data.features, **shared)
