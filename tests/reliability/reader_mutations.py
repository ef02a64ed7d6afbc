"""Reads thousands of damaged files of each format: success, or the project's own error.

    python tests/reliability/reader_mutations.py [--files=3000] [--seed=0] [--only=csv]

Files of every format of features and annotations are changed at random: bits, bytes,
blocks, numbers, and where they end. A reader may succeed or raise
`DataFormatError`; it may not take 2 s or 256 MiB more memory. Prints a table, and fails
if any file breaks this rule.
"""

import collections
import logging
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402  (where the modules lie comes first)
import pyarrow as pa  # noqa: E402
from forms import elan_text, intervals, write_rows  # noqa: E402
from pyarrow import parquet  # noqa: E402

from damamba_jax.data.formats import annotations, elan, ssi  # noqa: E402
from damamba_jax.data.formats.open_table import open_table  # noqa: E402
from damamba_jax.errors import DataFormatError  # noqa: E402
from damamba_jax.runtime.parser import Parser, split_names, whole  # noqa: E402

SECONDS = 2.0
MEBIBYTES = 256
NUMBERS = (b"0", b"-1", b"99999999999", b"1e400", b"nan", b"18446744073709551616", b"")


def _csv(path: Path) -> None:
    rows = [(i / 25, i % 7, f"{i * 0.37:.3f}", "ann") for i in range(200)]
    write_rows(path, ("time", "a", "b", "who"), rows)


def _npy(path: Path) -> None:
    np.save(path, np.arange(600, dtype=np.float32).reshape(200, 3))


def _npz(path: Path) -> None:
    arrays = {"voice": np.ones((99, 3), np.float32), "who": np.array(["ann"] * 99)}
    np.savez_compressed(path, **arrays)


def _parquet(path: Path) -> None:
    columns = {"t": np.arange(200) / 25, "a": np.ones(200), "who": ["ann", "bob"] * 100}
    parquet.write_table(pa.table(columns), path)


def _json(path: Path) -> None:
    points = ",".join(["10.5,20.25,0.9"] * 25)
    path.write_text(f'{{"version":1.3,"people":[{{"pose_keypoints_2d":[{points}]}}]}}')


def _eaf(path: Path) -> None:
    tiers = {role: intervals("monday", role) for role in ("teacher", "pupil")}
    path.write_text(elan_text(tiers), encoding="utf-8")


def _annotation(path: Path) -> None:
    score = np.linspace(0, 1, 80, dtype=np.float32)
    found = annotations.ContinuousAnnotation(
        name="x", sample_rate=10.0, minimum=0.0, maximum=1.0, score=score,
        confidence=np.ones_like(score),
    )  # fmt: skip
    annotations.write_annotation(path, found, ftype="BINARY")


def _stream(path: Path) -> None:
    ssi.write_stream(path, np.ones((80, 3), np.float32), 25.0)


def _lines(path: Path) -> None:
    ssi.write_labels(path, np.linspace(0, 1, 80))


def read_table(path: Path) -> None:
    """Reads every column as numbers, or else as text."""
    table = open_table(path)
    for name in table.names[:40]:
        try:
            for _ in table.blocks([name]):
                pass
        except DataFormatError:
            for _ in table.blocks([], [name]):
                pass


def read_stream(path: Path) -> None:
    """Reads all samples of a stream."""
    np.array(ssi.read_stream(path).data)


FORMATS: dict[str, tuple[str, Callable[[Path], None], Callable]] = {
    "csv": ("x.csv", _csv, read_table),
    "npy": ("x.npy", _npy, read_table),
    "npz": ("x.npz", _npz, read_table),
    "parquet": ("x.parquet", _parquet, read_table),
    "json": ("x_000_keypoints.json", _json, read_table),
    "eaf": ("x.eaf", _eaf, elan.read_tiers),
    "annotation": ("x.annotation", _annotation, annotations.read_annotation),
    "stream": ("x.stream", _stream, read_stream),
    "lines": ("x.txt", _lines, ssi.read_labels),
}


def mutate(raw: bytes, rng: random.Random) -> bytes:
    """Changes a file in one to four places."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((1, 1, 2, 4, 8, 64))
        match rng.randrange(7):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[:size] if rng.random() < 0.5 else rng.randbytes(size)
            case 4:
                del data[at:]
            case 5:
                data[at : at + size] = rng.choice((b"\xff", b"\0", b"\n")) * size
            case _:
                digits = [i for i, byte in enumerate(data) if 48 <= byte < 58]
                if digits:
                    start = rng.choice(digits)
                    end = start
                    while end < len(data) and 48 <= data[end] < 58:
                        end += 1
                    data[start:end] = rng.choice(NUMBERS)
    return bytes(data)


def check(
    kind: str, number: int, rng: random.Random, folder: Path
) -> collections.Counter:
    """Reads damaged files of a format; counts what came of it."""
    name, write, read = FORMATS[kind]
    path = folder / name
    write(path)
    parts = [p for p in (path, path.with_name(f"{name}~")) if p.exists()]
    whole = {part: part.read_bytes() for part in parts}
    found: collections.Counter = collections.Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(number):
        for part, raw in whole.items():
            part.write_bytes(raw)
        chosen = rng.choice(parts)
        chosen.write_bytes(mutate(whole[chosen], rng))
        start = time.perf_counter()
        try:
            read(path)
            found["read"] += 1
        except DataFormatError:
            found["refused"] += 1
        except Exception as error:
            found[f"{type(error).__name__}: {error}"[:120]] += 1
            keep = folder / f"bad-{found.total()}-{chosen.name}"
            keep.write_bytes(chosen.read_bytes())
        if time.perf_counter() - start > SECONDS:
            found["too slow"] += 1
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if more > MEBIBYTES << 10:
        found[f"{more >> 10} MiB more memory"] += 1
    return found


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = Parser("python -m tests.reliability.reader_mutations", __doc__)
    add = parser.add_argument
    add("--files", type=whole(1), default=3000, help="files of each format")
    add("--seed", type=whole(0), default=0, help="of the mutations")
    add("--only", type=split_names, default=[*FORMATS], help="formats")
    args = parser.parse(argv)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    bad = 0
    for kind in args.only:
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            found = check(kind, args.files, random.Random(args.seed), Path(folder))
            seconds = time.monotonic() - start
        others = {k: n for k, n in found.items() if k not in ("read", "refused")}
        bad += sum(others.values())
        print(
            f"{kind:10} {found['read']:6} read {found['refused']:6} refused "
            f"{seconds:6.1f} s {others or ''}",
            flush=True,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
