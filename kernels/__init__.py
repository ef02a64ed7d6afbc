"""Scans of state-space models. They are imported as `damamba_jax.kernels`."""

if __name__ == "kernels":
    raise ImportError(
        "`kernels` is part of damamba_jax: use `from damamba_jax.kernels import "
        "selective_scan`."
    )

from damamba_jax.kernels.selective_scan import ScanOutput, selective_scan
from damamba_jax.kernels.ssd import SSDOutput, ssd

__all__ = ["SSDOutput", "ScanOutput", "selective_scan", "ssd"]
