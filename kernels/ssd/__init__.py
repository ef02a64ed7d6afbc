"""The state-space duality of Mamba-2 in several implementations with one signature."""

from damamba_jax.kernels.ssd.api import (
    IMPLEMENTATIONS,
    choose,
    describe,
    ssd,
    supports,
)
from damamba_jax.kernels.ssd.base import Case, SSDOutput

__all__ = [
    "IMPLEMENTATIONS",
    "Case",
    "SSDOutput",
    "choose",
    "describe",
    "ssd",
    "supports",
]
