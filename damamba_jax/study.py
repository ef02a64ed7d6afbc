"""Runs a study: many training runs, one table of what they scored.

    damamba study ablation --preset=small         # parts of the model
    damamba study systems --jobs=12               # DA-Mamba against DAT
    damamba study effects --rows=mamba2,forward   # settings, on and off
    damamba study context-length --jobs=6         # longer windows

Every run has a workdir of its own in the study's, and the same command goes on where it
was interrupted, exactly. `--jobs=12` trains so many runs at a time, which fills a GPU.
Writes tables (Markdown), all numbers (JSON) and a picture; on the simulated corpus the
oracle's scores stand beside those of the models.
"""

import sys

from damamba_jax.studies.command import main, make_parser

__all__ = ["main", "make_parser"]

if __name__ == "__main__":
    sys.exit(main())
