"""Runs a study: many training runs, one table of what they scored.

    python -m damamba_jax.study ablation --preset=small         # parts of the model
    python -m damamba_jax.study systems --jobs=12               # DA-Mamba against DAT
    python -m damamba_jax.study effects --rows=mamba2,forward   # settings, on and off
    python -m damamba_jax.study context-length --jobs=6         # longer windows

Every run has a workdir of its own in the study's, and the same command goes on where it
was interrupted, exactly. `--jobs=12` trains so many runs at a time, which fills a GPU.
Writes tables (Markdown), all numbers (JSON) and a picture; on the simulated corpus the
oracle's scores stand beside those of the models.
"""

import sys

from damamba_jax.studies.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
