"""Lists the files that are kept for later runs, and removes them.

    damamba cache                          # lists kinds, names and sizes
    damamba cache --remove=programs        # compiled programs
    damamba cache --remove=simulated       # simulated corpora
    damamba cache --remove=data            # binary copies of slow sources, statistics

It is safe to remove these files: the next run makes those that it needs again, and its
results stay the same. Programs are in the user's cache folder, or in the folder that
DAMAMBA_CACHE names. Simulated corpora and data are in `data.cache_dir` of the
configuration, which is `runs/cache` unless you set it.
"""

import argparse
import datetime
import functools
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from damamba_jax.reporting.table import Table, show
from damamba_jax.runtime.command import make_console, run
from damamba_jax.runtime.parser import Parser, some_of
from damamba_jax.runtime.stop import StopRequest

KINDS = ("programs", "simulated", "data")


class Entry(NamedTuple):
    """A file or a folder that is kept.

    Attributes:
      kind: one of `KINDS`.
      path: path of the file or folder.
      num_bytes: size of the file, or of all files in the folder, bytes.
      used: when it was last written or, for a program, last used; seconds since 1970.
    """

    kind: str
    path: Path
    num_bytes: int
    used: float


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = make_parser().parse(argv)
    run(functools.partial(_cache, options), console=make_console())
    return 0


def _cache(options: argparse.Namespace, stop: StopRequest, console: Console) -> None:
    del stop
    folder = Path(options.cache_dir)
    entries = list(find_entries(folder))
    removed = [entry for entry in entries if entry.kind in options.remove]
    for entry in removed:
        if entry.path.is_dir() and not entry.path.is_symlink():
            shutil.rmtree(entry.path)
        else:
            entry.path.unlink(missing_ok=True)
    kept = [entry for entry in entries if entry not in removed]
    show(_table(kept, folder), console)
    if options.remove:
        total = sum(entry.num_bytes for entry in removed)
        console.print(f"removed: {_size(total)}")


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("cache", __doc__)
    add = parser.add_argument
    add(
        "--cache_dir", default="runs/cache", metavar="DIR",
        help="folder that `data.cache_dir` of the configuration names; default: "
        "runs/cache",
    )  # fmt: skip
    add(
        "--remove", type=some_of(*KINDS), default=(), metavar="KIND,KIND",
        help=f"kinds to remove: one or more of {', '.join(KINDS)}",
    )  # fmt: skip
    return parser


def find_entries(cache_dir: Path) -> Iterator[Entry]:
    """Finds the files and folders that are kept, programs first; follows no links.

    Args:
      cache_dir: `data.cache_dir` of the configurations.
    """
    # JAX takes a second to import; `--help` and a wrong flag do not wait for it.
    from damamba_jax.data.simulated.write import CORPUS_PREFIX
    from damamba_jax.runtime.programs import program_folder

    programs = program_folder()
    if programs is not None and programs.parent.is_dir():
        for path in sorted(programs.parent.iterdir()):
            yield _entry("programs", path)
    if cache_dir.is_dir():
        for path in sorted(cache_dir.iterdir()):
            # Unfinished corpora begin with a dot.
            simulated = path.name.lstrip(".").startswith(CORPUS_PREFIX)
            yield _entry("simulated" if simulated else "data", path)


def _entry(kind: str, path: Path) -> Entry:
    files = [path]
    if path.is_dir() and not path.is_symlink():
        files = [file for file in path.rglob("*") if not file.is_symlink()]
    found = [file.lstat() for file in files if file.is_file()]
    used = max((status.st_mtime for status in found), default=path.lstat().st_mtime)
    return Entry(kind, path, sum(status.st_size for status in found), used)


def _table(entries: Sequence[Entry], cache_dir: Path) -> Table:
    from damamba_jax.runtime.programs import program_folder

    programs = program_folder()
    where = "switched off by DAMAMBA_CACHE" if programs is None else programs.parent
    rows = [
        (
            entry.kind,
            entry.path.name,
            _size(entry.num_bytes),
            f"{datetime.datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}",
        )
        for entry in entries
    ]
    total = sum(entry.num_bytes for entry in entries)
    rows.append(("all", "", _size(total), ""))
    return Table(
        title="Kept for later runs",
        columns=("kind", "name", "size", "last used"),
        rows=tuple(rows),
        notes=(f"Programs: {where}", f"Simulated corpora and data: {cache_dir}"),
    )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
