"""Time and memory of one training step.

Two commands: `memory_curve` (memory against the length of the window) and `variants`
(scan, precision, rematerialisation, length). Both ask `steps` for their figures, which
starts `measure` in processes of their own.
"""
