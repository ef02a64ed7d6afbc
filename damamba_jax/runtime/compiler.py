"""Options of XLA, and where it keeps what it compiled."""

import jax


def compiler_options() -> dict[str, bool | int]:
    """XLA's, of whatever is compiled for a whole run."""
    if jax.default_backend() != "gpu":
        return {}
    return {
        # Its Triton kernels are tried out one by one for every product of two matrices,
        # which takes minutes before the first step; cuBLAS has them ready.
        "xla_gpu_enable_triton_gemm": False,
        # It would make one product of those that share an argument, then copy its
        # slices.
        "xla_gpu_dot_merger_threshold_mb": 0,
    }
