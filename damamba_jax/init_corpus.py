"""Looks at a folder of recordings and writes a configuration that reads it.

    damamba init-corpus DIR                     # to the terminal
    damamba init-corpus DIR --out=my_corpus.py

Then, as with any configuration:

    damamba inventory --config=my_corpus.py
    damamba train --config=my_corpus.py

Participants, features, widths, rates, groups, annotations, their range, and splits or
folds are guessed from names, headers and first rows; each guess has its reason in a
comment, and what cannot be guessed names the field to set. Nothing is written into DIR,
links are not followed, and `--out` never replaces a file.
"""

import functools
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from damamba_jax.data.guess.page import write_page
from damamba_jax.errors import ConfigError, CorpusError, printable
from damamba_jax.runtime.command import read_flags, run
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    run(functools.partial(_init, argv))
    return 0


def _init(argv: Sequence[str], stop: StopRequest, console: Console) -> None:
    del stop  # One file is written, in one go.
    values = flags.FlagValues()
    flags.DEFINE_string(
        "out", "", "File to write, in place of the terminal.", flag_values=values
    )
    folders = [a for a in argv[1:] if not a.startswith("-")]
    read_flags(values, [a for a in argv if a not in folders], __doc__ or "")
    if len(folders) != 1:
        raise ConfigError(
            f"expected one folder of recordings, got {len(folders)}: "
            "damamba init-corpus DIR [--out=FILE.py]."
        )
    root = Path(folders[0]).expanduser()
    if not root.is_dir():
        what = "a file" if root.is_file() else "nothing there"
        raise CorpusError(f"expected a folder of recordings, got {root}: {what}.")
    text = write_page(root.resolve())
    if not values.out:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # The text is a file of Python, which is UTF-8 whatever the terminal is.
            sys.stdout.reconfigure(encoding="utf-8")
        sys.stdout.write(text)
        return
    try:
        with open(values.out, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"`--out`: {values.out} exists; expected the name of a new file."
        ) from None
    print(
        printable(
            f"{values.out}: read it, then damamba inventory --config={values.out}"
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv))
