"""Reads thousands of damaged files of each format: success, or the project's own error.

    python tests/reliability/reader_mutations.py [--files=3000] [--seed=0] [--only=csv]

Files of every format of features and annotations are changed at random: bits, bytes,
blocks, values, and where they end. A reader may succeed or raise a `DataFormatError`
that names the file; it may not take 2 s or 256 MiB more memory. Prints a table, and
fails if any file breaks this rule.
"""

import collections
import functools
import json
import logging
import random
import re
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402  (where the modules lie comes first)
import pyarrow as pa  # noqa: E402
from forms import elan_text, write_rows  # noqa: E402
from pyarrow import parquet  # noqa: E402

from damamba_jax.config.layout import LabelConfig, TableConfig  # noqa: E402
from damamba_jax.config.sections import FeatureConfig  # noqa: E402
from damamba_jax.data.corpus.label_source import LabelSource  # noqa: E402
from damamba_jax.data.corpus.patterns import Match  # noqa: E402
from damamba_jax.data.corpus.table_source import TableSource  # noqa: E402
from damamba_jax.data.formats import annotations, ssi  # noqa: E402
from damamba_jax.data.formats.open_table import open_table  # noqa: E402
from damamba_jax.errors import DataFormatError  # noqa: E402
from damamba_jax.runtime.parser import Parser, split_names, whole  # noqa: E402

SECONDS = 2.0
MEBIBYTES = 256

# What takes the place of a value, or comes between two of them.
HOSTILE = [
    b"", b"0", b"-1", b"1", b"2", b"3", b"7", b"255", b"1e300", b"-1e300", b"1e9",
    b"1e400", b"nan", b"inf", b"1.#INF00", b"4294967296", b"9223372036854775807",
    b"18446744073709551616", b"1000000000000000", b"9" * 400, b"\x00", b"\xff",
    b"ASCII", b"BINARY", b"BIN_LZ4", b"LONG", b"UCHAR", b"DOUBLE", b"IMAGE", b"&lt;",
    b"&amp;", b";", b" ", b"None", b"CONTINUOUS", b"DISCRETE", b"FREE", b"<", b">",
    b'"', b"\r", b"\n", b"\r\n",
]  # fmt: skip
# Values of XML, and numbers: such changes get past the first check of a file.
VALUES = re.compile(rb'(?<=")[^"]*(?=")|-?[0-9.]+')

TABLE = {
    "time": np.arange(200) / 25,
    "who": np.array(["ann", "bob"] * 100),
    "x": np.arange(200) / 8,
    "y": np.arange(200) % 3 == 1,
}


def _csv(path: Path) -> None:
    write_rows(
        path, [*TABLE], zip(*map(np.ndarray.tolist, TABLE.values()), strict=True)
    )


def _german_csv(path: Path) -> None:
    _csv(path)
    path.write_text(path.read_text().replace(",", ";").replace(".", ","))


def _npy(path: Path) -> None:
    names = [(name, column.dtype) for name, column in TABLE.items()]
    np.save(path, np.array(list(zip(*TABLE.values(), strict=True)), names))


def _npz(path: Path) -> None:
    np.savez_compressed(path, **TABLE)


def _parquet(path: Path) -> None:
    parquet.write_table(pa.table(TABLE), path)


def _json(path: Path) -> None:
    points = [v for i in range(25) for v in (i, 2 * i, i % 3 / 2)]
    people = [{"person_id": [-1], "pose_keypoints_2d": points}] * 2
    path.write_text(json.dumps({"version": 1.3, "people": people}))


def _eaf(path: Path) -> None:
    rows = [(i, i + 1, i / 8) for i in range(9)]
    path.write_text(elan_text({"ann": rows, "bob": rows[::-1]}), encoding="utf-8")


def _annotation(path: Path, *, kind: str, ftype: str) -> None:
    times = np.arange(4.0)
    segments = {
        "start": times, "stop": times + 1, "confidence": np.ones(4, np.float32)
    }  # fmt: skip
    found = {
        "numbers": lambda: annotations.ContinuousAnnotation(
            name="s", sample_rate=25.0, minimum=0.0, maximum=1.0,
            score=np.linspace(0, 1, 80, dtype=np.float32),
            confidence=np.ones(80, np.float32),
        ),
        "classes": lambda: annotations.DiscreteAnnotation(
            name="s", classes={0: "a"}, id=np.arange(4, dtype=np.int32), **segments
        ),
        "texts": lambda: annotations.FreeAnnotation(
            name="s", label=("a", "bä", "", "c"), **segments
        ),
    }[kind]()  # fmt: skip
    annotations.write_annotation(path, found, ftype=ftype)


def _stream(path: Path, *, ftype: str) -> None:
    valid = np.arange(80) % 10 < 8
    data = np.arange(240, dtype=np.float32).reshape(80, 3)
    delim = ";" if ftype == "ASCII" else " "
    ssi.write_stream(path, data, 25.0, valid=valid, ftype=ftype, delim=delim)


def _lines(path: Path) -> None:
    path.write_bytes(b"0.5\r\n\r\n-nan(ind)\r\n0.25\r\nnan\r\n1.0\r\n" * 9)


def read_feature(path: Path) -> None:
    """Reads the table as a feature of one of two people."""
    table = TableConfig(columns=("x", "y"), time="time", rows=("who={role}",))
    feature = FeatureConfig(name="f", dim=2, group="visual", rate=25.0, table=table)
    stream = TableSource(
        feature=feature, pieces=(Match(path, {}),), fields={"role": "ann"}, turns={}
    ).open(None)
    assert stream.data.shape == (stream.num_frames, 2)


def read_key_points(path: Path) -> None:
    """Reads two columns of key points."""
    for block in open_table(path).blocks(("pose_1_x", "face_3_y")):
        assert block.numbers.shape[1] == 2


def read_ratings(path: Path) -> None:
    """Reads the table, or the tier, as the ratings of one of two people."""
    LabelSource(
        pieces=(Match(path, {}),),
        config=LabelConfig(values=("x",), time="time", rows=("who={role}",)),
        fields={"role": "ann"},
        turns={},
        rate=25.0,
        limit_seconds=60.0,
    ).read()


def read_stream(path: Path) -> None:
    """Reads all samples of a stream."""
    np.array(ssi.read_stream(path).data)


class Format(NamedTuple):
    """How files of a format are written whole, and how they are read.

    Attributes:
      name: name of the file.
      writers: functions that write good files.
      read: function that reads a file.
    """

    name: str
    writers: list[Callable[[Path], None]]
    read: Callable[[Path], object]


def _annotations(ftype: str) -> list[Callable[[Path], None]]:
    return [
        functools.partial(_annotation, kind=kind, ftype=ftype)
        for kind in ("numbers", "classes", "texts")
    ]


FORMATS = {
    "csv": Format("x.csv", [_csv, _german_csv], read_feature),
    "csv of ratings": Format("x.csv", [_csv, _german_csv], read_ratings),
    "npy": Format("x.npy", [_npy], read_feature),
    "npz": Format("x.npz", [_npz], read_feature),
    "parquet": Format("x.parquet", [_parquet], read_feature),
    "key points": Format("x_000_keypoints.json", [_json], read_key_points),
    "eaf": Format("x.eaf", [_eaf], read_ratings),
    "annotation": Format(
        "x.annotation", _annotations("BINARY"), annotations.read_annotation
    ),
    "annotation of text": Format(
        "x.annotation", _annotations("ASCII"), annotations.read_annotation
    ),
    "stream": Format(
        "x.stream", [functools.partial(_stream, ftype="BINARY")], read_stream
    ),
    "stream of text": Format(
        "x.stream", [functools.partial(_stream, ftype="ASCII")], read_stream
    ),
    "lines": Format("x.csv", [_lines], ssi.read_labels),
}


def mutate(raw: bytes, rng: random.Random) -> bytes:
    """Changes a file in one to four places."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((0, 1, 1, 2, 4, 8, 64))
        match rng.randrange(9):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + size] = rng.randbytes(max(size, 4))
            case 2:
                del data[at : at + size]
            case 3:
                data[at : at + size] *= rng.choice((2, 3, 100))
            case 4:
                del data[at:]
            case 5:
                data[at : at + size] = rng.choice((b"\xff", b"\0", b"\n")) * size
            case 6:
                data[at:at] = rng.choice(HOSTILE)
            case _:
                spans = [found.span() for found in VALUES.finditer(bytes(data))]
                if spans:
                    start, end = rng.choice(spans)
                    data[start:end] = rng.choice(HOSTILE)
    return bytes(data)


def _damaged(
    form: Format, number: int, rng: random.Random, folder: Path
) -> Iterator[Path]:
    """Writes one damaged file after the other; a stream consists of two files."""
    path = folder / form.name
    parts, wholes = (path, path.with_name(f"{form.name}~")), []
    for write in form.writers:
        write(path)
        form.read(path)
        wholes.append({part: part.read_bytes() for part in parts if part.exists()})
    for _ in range(number):
        whole = rng.choice(wholes)
        chosen = rng.choice([*whole, None])
        for part, raw in whole.items():
            part.write_bytes(mutate(raw, rng) if chosen in (part, None) else raw)
        yield path


def check(
    kind: str, number: int, rng: random.Random, folder: Path
) -> collections.Counter:
    """Reads damaged files of a format; counts what came of it."""
    form = FORMATS[kind]
    found: collections.Counter = collections.Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in _damaged(form, number, rng, folder):
        # Processor time: other programs of this machine do not count.
        start = time.process_time()
        try:
            form.read(path)
            found["read"] += 1
        except DataFormatError as error:
            is_clear = str(path) in str(error) and "expected" in str(error)
            found["refused" if is_clear else f"unclear: {error}"[:120]] += 1
        except Exception as error:
            found[f"{type(error).__name__}: {error}"[:120]] += 1
            keep = folder / f"bad-{found.total()}-{path.name}"
            keep.write_bytes(path.read_bytes())
        if time.process_time() - start > SECONDS:
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
            f"{kind:20} {found['read']:6} read {found['refused']:6} refused "
            f"{seconds:6.1f} s {others or ''}",
            flush=True,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
