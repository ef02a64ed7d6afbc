"""Another name for `python -m damamba_jax.study context-length`."""

import sys

from damamba_jax.studies.command import main

if __name__ == "__main__":
    sys.exit(main(["context-length", *sys.argv[1:]]))
