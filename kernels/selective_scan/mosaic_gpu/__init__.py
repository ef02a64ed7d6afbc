"""Fused kernels for NVIDIA GPUs (Hopper or newer), in Pallas for Mosaic GPU."""
