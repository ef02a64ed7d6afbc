"""Flags of XLA under which small models compile in a third of the time."""

import importlib.metadata


def fast_compilation(*, devices: int) -> str:
    """Value of `XLA_FLAGS`: few optimisations, which toy sizes do not need.

    Args:
      devices: number of virtual devices of the CPU.
    """
    flags = [
        f"--xla_force_host_platform_device_count={devices}",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    ]
    # Later versions do not have this flag, and end the process for it.
    if importlib.metadata.version("jax").startswith("0.10."):
        flags.append("--xla_cpu_use_fusion_emitters=false")
    return " ".join(flags)
