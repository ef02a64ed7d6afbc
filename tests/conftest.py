"""Strictness for the whole suite: shapes, dtypes and ranks are checked at run time."""

import os

# Before jax is imported. Several virtual devices: sharding is tested anywhere. Without
# LLVM's expensive passes models compile in half the time and run on toy sizes as fast.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true",
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

from jaxtyping import install_import_hook  # noqa: E402  (environment first)

install_import_hook("damamba_jax", "beartype.beartype")

import jax  # noqa: E402
from absl import flags  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# grain's workers read absl flags, which pytest never parses.
flags.FLAGS.mark_as_parsed()
