"""Selective-scan kernels; imported as `damamba_jax.kernels`."""

if __name__ == "kernels":
    raise ImportError(
        "`kernels` is part of damamba_jax: use `from damamba_jax.kernels import "
        "selective_scan`."
    )

from damamba_jax.kernels.selective_scan import ScanOutput, selective_scan

__all__ = ["ScanOutput", "selective_scan"]
