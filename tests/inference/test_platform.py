"""Programs for another platform than the machine that builds them."""

import jax
import jax.numpy as jnp
from example import FEATURES, random_batch, small_config, unit_statistics

from damamba_jax.inference.estimator import predict_function
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS, describe
from damamba_jax.models.functional import abstract_model


def test_a_machine_without_gpu_exports_a_program_for_one():
    # Wide enough for the kernels of a GPU.
    config = small_config(dim=64, scan="", features=FEATURES[1:], dialogue_blocks=0)
    num_frames = config.data.window.window_frames
    inputs = (random_batch(config), unit_statistics(config))
    for platform, has_kernels in (("cpu", False), ("cuda", can_lower_kernels())):
        predict = predict_function(config.model, config.data, platform=platform)
        _, params = abstract_model(config.model, config.data, platform)
        exported = jax.export.export(predict, platforms=[platform])(
            params, *inputs, num_frames=num_frames
        )
        assert exported.platforms == (platform,)
        assert ("mosaic_gpu" in exported.mlir_module()) == has_kernels


def can_lower_kernels():
    """Says whether the installed JAX can lower the kernels of a GPU."""
    x, a = jnp.zeros((4, 24, 128)), jnp.zeros((128, 4))
    return bool(IMPLEMENTATIONS["pallas"].supports(describe(x, a, platform="gpu")))
