"""Options of XLA for programs that run many times."""

import jax


def compiler_options(platform: str | None) -> dict[str, bool | int]:
    """Returns the options of XLA for a program that runs many times.

    Args:
      platform: platform that the program will run on, e.g. `"gpu"`; `None` means the
        one of this machine.
    """
    if (platform or jax.default_backend()) not in ("gpu", "cuda"):
        return {}
    return {
        # With Triton, XLA tries out its kernels one by one for every product of two
        # matrices. This takes minutes before the first step; cuBLAS has ready kernels.
        "xla_gpu_enable_triton_gemm": False,
        # XLA would merge products that share an argument, and then copy the slices of
        # the merged product.
        "xla_gpu_dot_merger_threshold_mb": 0,
    }
