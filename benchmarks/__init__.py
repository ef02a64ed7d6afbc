"""Measurements of speed and memory.

README.md says how to run each benchmark and gives the results. Benchmarks are run in
the folder of the checkout, as `python -m benchmarks.ROOM.NAME`.
"""
