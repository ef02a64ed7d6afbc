"""The float64 truth, which `python -m damamba_jax.selfcheck` ships with the package."""

from damamba_jax.numpy_scan import gradients, scan

__all__ = ["gradients", "scan"]
