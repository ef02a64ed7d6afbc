"""Selective-scan kernels; imported as `damamba_jax.kernels`."""

if __name__ == "kernels":
    raise ImportError(
        "`kernels` is part of damamba_jax: use `from damamba_jax.kernels import "
        "selective_scan`."
    )
