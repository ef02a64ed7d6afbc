"""Fused kernels for NVIDIA GPUs from Hopper on, written in Pallas for Mosaic GPU."""
