"""Time and memory of one training step.

The commands are `memory_curve` (memory against the length of the window), `variants`
(scan, precision, rematerialisation and length) and `cold_start` (time before the first
step). They get their figures from processes that run `measure`, each figure from a
process of its own.
"""
