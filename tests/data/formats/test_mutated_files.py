"""Mutated files: every reader succeeds or raises `DataFormatError`, quickly."""

import functools
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

# It runs as a script, too.
sys.path.insert(0, str(Path(__file__).parents[2]))
from forms import elan_text

from damamba_jax.config.layout import LabelConfig, TableConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.label_source import LabelSource
from damamba_jax.data.corpus.patterns import Match
from damamba_jax.data.corpus.table_source import TableSource
from damamba_jax.data.formats import annotations, ssi
from damamba_jax.data.formats.open_table import open_table
from damamba_jax.errors import DataFormatError

NUM_FILES = 2000
NUM_TABLES = 500  # they open more slowly
MAX_SECONDS = 1.0

HOSTILE = [
    b"", b"0", b"-1", b"1", b"2", b"3", b"7", b"255", b"1e300", b"-1e300", b"1e9",
    b"nan", b"inf", b"1.#INF00", b"4294967296", b"9223372036854775807",
    b"1000000000000000", b"9" * 400, b"\x00", b"\xff", b"ASCII", b"BINARY", b"BIN_LZ4",
    b"LONG", b"UCHAR", b"DOUBLE", b"IMAGE", b"&lt;", b"&amp;", b";", b" ", b"None",
    b"CONTINUOUS", b"DISCRETE", b"FREE", b"<", b">", b'"', b"\r", b"\n", b"\r\n",
]  # fmt: skip


def mutate(raw: bytes, rng: random.Random) -> bytes:
    """Applies one to three random edits."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(raw) + 1)
        end = min(len(raw), at + rng.choice([0, 1, 1, 4, 16, 64]))
        edit = rng.randrange(7)
        if edit == 0:
            raw = raw[:at] + bytes(rng.randrange(256) for _ in range(4)) + raw[end:]
        elif edit == 1:
            raw = raw[:at] + raw[end:]
        elif edit == 2:
            raw = raw[:at] + raw[at:end] * rng.choice([2, 3, 100]) + raw[end:]
        elif edit == 3:
            raw = raw[:at]
        elif edit == 4:
            raw = raw[:at] + rng.choice(HOSTILE) + raw[at:]
        elif spans := list(re.finditer(rb'(?<=")[^"]*(?=")|-?[0-9.]+', raw)):
            # A value, whole: these get past the XML parser.
            span = rng.choice(spans)
            raw = raw[: span.start()] + rng.choice(HOSTILE) + raw[span.end() :]
    return raw


def write_binary_stream(path: Path) -> None:
    valid = np.arange(20) % 10 < 8
    data = np.arange(60, dtype=np.float32).reshape(20, 3)
    ssi.write_stream(path, data, 25.0, valid=valid)


def write_ascii_stream(path: Path) -> None:
    valid = np.arange(20) % 10 < 8
    data = np.arange(60, dtype=np.float32).reshape(20, 3)
    ssi.write_stream(path, data, 25.0, valid=valid, ftype="ASCII", delim=";")


def segments() -> dict:
    confidence = np.ones(4, np.float32)
    return {
        "start": np.arange(4.0),
        "stop": np.arange(1.0, 5.0),
        "confidence": confidence,
    }


def example(kind: int) -> annotations.Annotation:
    if kind == 0:
        return annotations.ContinuousAnnotation(
            name="s",
            sample_rate=25.0,
            minimum=0.0,
            maximum=1.0,
            score=np.linspace(0, 1, 9, dtype=np.float32),
            confidence=np.ones(9, np.float32),
        )
    if kind == 1:
        return annotations.DiscreteAnnotation(
            name="s", classes={0: "a"}, id=np.arange(4, dtype=np.int32), **segments()
        )
    return annotations.FreeAnnotation(
        name="s", label=("a", "bä", "", "c"), **segments()
    )


def annotation_writers(ftype: str) -> list:
    return [
        functools.partial(write_annotation, kind=kind, ftype=ftype) for kind in range(3)
    ]


def write_annotation(path: Path, *, kind: int, ftype: str) -> None:
    annotations.write_annotation(path, example(kind), ftype=ftype)


def write_labels(path: Path) -> None:
    path.write_bytes(b"0.5\r\n\r\n-nan(ind)\r\n0.25\r\nnan\r\n1.0\r\n" * 3)


TABLE = {
    "time": np.arange(40) / 25,
    "who": np.array(["a", "b"] * 20),
    "x": np.arange(40) / 8,
    "y": np.arange(40) % 3 == 1,
}


def write_csv(path: Path) -> None:
    rows = zip(*(column.tolist() for column in TABLE.values()), strict=True)
    lines = [",".join(map(str, row)) for row in (TABLE, *rows)]
    path.write_text("\n".join(lines) + "\n")


def write_german_csv(path: Path) -> None:
    write_csv(path)
    path.write_text(path.read_text().replace(",", ";").replace(".", ","))


def write_npz(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, **TABLE)


def write_npy(path: Path) -> None:
    names = [(name, column.dtype) for name, column in TABLE.items()]
    with open(path, "wb") as file:
        np.save(file, np.array(list(zip(*TABLE.values(), strict=True)), names))


def write_parquet(path: Path) -> None:
    parquet.write_table(pa.table(TABLE), path)


def write_eaf(path: Path) -> None:
    rows = [(i, i + 1, i / 8) for i in range(9)]
    path.write_text(elan_text({"a": rows, "b": rows[::-1]}))


def read_feature(path: Path) -> None:
    """Reads the table as a feature of one of two people."""
    source = TableSource(
        feature=FeatureConfig(
            name="f",
            dim=2,
            group="visual",
            rate=25.0,
            table=TableConfig(columns=("x", "y"), time="time", rows=("who={role}",)),
        ),
        pieces=(Match(path, {}),),
        fields={"role": "a"},
        turns={},
    )
    stream = source.open(None)
    assert stream.data.shape == (stream.num_frames, 2)


def write_key_points(path: Path) -> None:
    points = [v for i in range(25) for v in (i, 2 * i, i % 3 / 2)]
    people = [{"person_id": [-1], "pose_keypoints_2d": points}] * 2
    path.write_text(json.dumps({"version": 1.3, "people": people}))


def read_key_points(path: Path) -> None:
    for block in open_table(path).blocks(("pose_1_x", "face_3_y")):
        assert block.numbers.shape[1] == 2


def read_tier(path: Path) -> None:
    label_source(path).read()


def label_source(path: Path) -> LabelSource:
    return LabelSource(
        pieces=(Match(path, {}),),
        config=LabelConfig(values=("x",), time="time", rows=("who={role}",)),
        fields={"role": "a"},
        turns={},
        rate=25.0,
        limit_seconds=60.0,
    )


FORMATS = {
    "binary stream": ([write_binary_stream], ssi.read_stream, ""),
    "ascii stream": ([write_ascii_stream], ssi.read_stream, ""),
    "ascii annotation": (annotation_writers("ASCII"), annotations.read_annotation, ""),
    "binary annotation": (
        annotation_writers("BINARY"),
        annotations.read_annotation,
        "",
    ),
    "label csv": ([write_labels], ssi.read_labels, ""),
    "csv": ([write_csv, write_german_csv], read_feature, ".csv"),
    "csv of labels": ([write_csv, write_german_csv], read_tier, ".csv"),
    "npz": ([write_npz], read_feature, ".npz"),
    "npy": ([write_npy], read_feature, ".npy"),
    "parquet": ([write_parquet], read_feature, ".parquet"),
    "key points": ([write_key_points], read_key_points, ".json"),
    "eaf": ([write_eaf], read_tier, ".eaf"),
}


def num_files(name: str) -> int:
    return NUM_TABLES if FORMATS[name][2] else NUM_FILES


def read_mutations(name: str, folder: Path) -> None:
    """Fails on any other exception, and on a file that takes too long."""
    writers, read, suffix = FORMATS[name]
    originals = []
    for i, writer in enumerate(writers):
        path = folder / f"original{i}{suffix}"
        writer(path)
        read(path)
        data = path.with_name(path.name + "~")
        raw = data.read_bytes() if data.exists() else None
        originals.append((path.read_bytes(), raw))
    rng = random.Random(0)
    path, refused, slowest = folder / f"mutated{suffix}", 0, 0.0
    for _ in range(num_files(name)):
        header, data = rng.choice(originals)
        which = rng.randrange(3) if data is not None else 0
        path.write_bytes(mutate(header, rng) if which != 1 else header)
        if data is not None:
            data = mutate(data, rng) if which else data
            path.with_name(path.name + "~").write_bytes(data)
        # CPU time: the other tests of a parallel run do not count.
        begin = time.process_time()
        try:
            read(path)
        except DataFormatError as error:
            assert str(path) in str(error) and "expected" in str(error), error
            refused += 1
        slowest = max(slowest, time.process_time() - begin)
    print(f"refused={refused} slowest={slowest:.3f}")


@pytest.mark.parametrize("name", FORMATS)
def test_only_data_format_errors(tmp_path, name):
    # A process of its own: the checks of shapes and types that this suite installs
    # take several times as long as reading.
    result = subprocess.run(
        [sys.executable, "-W", "error", __file__, name, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    refused, slowest = re.findall(r"=([0-9.]+)", result.stdout)
    assert float(slowest) < MAX_SECONDS
    # Mutations that no reader notices, or that all stop in one place, test nothing.
    assert 0 < int(refused) < 0.98 * num_files(name)


if __name__ == "__main__":
    read_mutations(sys.argv[1], Path(sys.argv[2]))
