"""Options of XLA for programs that run many times."""


def compiler_options(platform: str) -> dict[str, bool | int]:
    """Returns the options for a program that a whole run uses.

    Args:
      platform: where the program will run, as `jax.default_backend()` names it.
    """
    if platform != "gpu":
        return {}
    return {
        # XLA tries out its Triton kernels one by one for every product of two matrices,
        # which takes minutes before the first step; cuBLAS has kernels ready.
        "xla_gpu_enable_triton_gemm": False,
        # XLA would merge products that share an argument, and then copy the slices of
        # the merged product.
        "xla_gpu_dot_merger_threshold_mb": 0,
    }
