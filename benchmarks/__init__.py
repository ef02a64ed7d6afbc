"""Measurements of speed and memory; README.md says how each is run and what it found.

A benchmark runs from the folder of the checkout, as `python -m benchmarks.ROOM.NAME`.
"""
