"""Times of mamba's CUDA kernel, for machines where `mamba_ssm` cannot be imported.

`selective_scan_cuda.fwd` and `.bwd` of mamba_ssm 2.3.2 were called directly on
2026-11-23, on one NVIDIA H200 (132 SM at 1980 MHz, driver 580.159.04) with torch
2.11.0+cu130 and CUDA 13.0. The times are medians of 50 to 60 calls after a warm-up,
measured by CUDA events. The calls went over rotating sets of normally distributed
inputs of 200 to 400 MB. D skip, gate, bias and softplus are included.
"""

from typing import NamedTuple

HARDWARE = "H200"
SOURCE = "mamba_ssm 2.3.2, H200, 2026-11-23"


class PeerTime(NamedTuple):
    """Milliseconds of the two passes. Their sum is the time of forward + backward."""

    forward: float
    backward: float


# The keys are (name of the shape in `arg_specs`, dtype).
PEER_TIMES = {
    ("window_512", "float32"): PeerTime(0.310, 0.843),
    ("window_512", "bfloat16"): PeerTime(0.311, 0.841),
    ("window_1024", "float32"): PeerTime(0.608, 1.654),
    ("window_1024", "bfloat16"): PeerTime(0.611, 1.644),
    ("window_large_batch", "float32"): PeerTime(2.394, 6.524),
    ("window_large_batch", "bfloat16"): PeerTime(2.408, 6.490),
    ("sequence_2k", "float32"): PeerTime(0.591, 1.382),
    ("sequence_2k", "bfloat16"): PeerTime(0.303, 1.184),
    ("sequence_8k", "float32"): PeerTime(2.463, 5.456),
    ("sequence_8k", "bfloat16"): PeerTime(1.305, 4.716),
    ("recording_131k", "float32"): PeerTime(5.762, 12.94),
    ("recording_131k", "bfloat16"): PeerTime(2.829, 11.01),
}


def peer_milliseconds(shape: str, dtype: str, run: str, device: str) -> float | None:
    """Returns the peer's time, or None for another device or an unmeasured shape.

    Args:
      shape: the name of the shape.
      dtype: the type of the sequences.
      run: `"forward"` or `"forward_backward"`.
      device: the kind of the device with whose times this time is compared.
    """
    times = PEER_TIMES.get((shape, dtype))
    if times is None or HARDWARE not in device:
        return None
    return times.forward if run == "forward" else sum(times)
