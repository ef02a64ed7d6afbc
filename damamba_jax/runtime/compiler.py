"""Options of XLA for programs that run many times."""

import jax


def compiler_options(platform: str | None) -> dict[str, bool | int]:
    """Returns the options for a program that a whole run uses.

    Args:
      platform: where the program will run; `None` is this machine.
    """
    if (platform or jax.default_backend()) not in ("gpu", "cuda"):
        return {}
    return {
        # XLA tries out its Triton kernels one by one for every product of two matrices,
        # which takes minutes before the first step; cuBLAS has kernels ready.
        "xla_gpu_enable_triton_gemm": False,
        # XLA would merge products that share an argument, and then copy the slices of
        # the merged product.
        "xla_gpu_dot_merger_threshold_mb": 0,
    }
