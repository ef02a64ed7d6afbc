"""The state-space duality of Mamba-2, in several implementations of one signature."""

from damamba_jax.kernels.ssd.api import IMPLEMENTATIONS, ssd
from damamba_jax.kernels.ssd.base import SSDOutput

__all__ = ["IMPLEMENTATIONS", "SSDOutput", "ssd"]
