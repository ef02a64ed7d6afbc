"""Runs the ablation: another name for `python -m damamba_jax.study ablation`."""

import sys

from damamba_jax.studies.command import main

if __name__ == "__main__":
    sys.exit(main(["ablation", *sys.argv[1:]]))
