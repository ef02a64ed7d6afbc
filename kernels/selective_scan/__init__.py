"""The selective scan of Mamba-1 in several implementations with one signature."""

from damamba_jax.kernels.implementation import Support
from damamba_jax.kernels.selective_scan.api import (
    IMPLEMENTATIONS,
    choose,
    describe,
    selective_scan,
    supports,
)
from damamba_jax.kernels.selective_scan.base import Case, ScanOutput

__all__ = [
    "IMPLEMENTATIONS",
    "Case",
    "ScanOutput",
    "Support",
    "choose",
    "describe",
    "selective_scan",
    "supports",
]
