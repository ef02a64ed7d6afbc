"""Runs a study: many training runs, and one table of their scores.

    damamba study ablation --preset=small         # parts of the model
    damamba study systems --jobs=12               # DA-Mamba against DAT
    damamba study effects --rows=mamba2,forward   # settings, on and off
    damamba study context-length --jobs=6         # longer windows

Every run has a workdir of its own in the workdir of the study. After an interruption,
the same command continues exactly where it stopped. `--jobs=12` trains 12 runs at a
time, which fills a GPU. The study writes tables (Markdown), all numbers (JSON) and a
picture. On the simulated corpus, the tables also show the oracle's scores.
"""

import sys

from damamba_jax.studies.command import main, make_parser

__all__ = ["main", "make_parser"]

if __name__ == "__main__":
    sys.exit(main())
