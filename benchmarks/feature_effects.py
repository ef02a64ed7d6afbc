"""Another name for `python -m damamba_jax.study effects`."""

import sys

from damamba_jax.studies.command import main

if __name__ == "__main__":
    sys.exit(main(["effects", *sys.argv[1:]]))
