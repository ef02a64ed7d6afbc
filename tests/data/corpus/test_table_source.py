"""Rows of tables as frames of a stream: order, gaps, rates, units, bounds."""

import csv
import dataclasses
import re

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from damamba_jax.config.layout import TableConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.patterns import Match
from damamba_jax.data.corpus.table_rows import Span
from damamba_jax.data.corpus.table_source import TableSource
from damamba_jax.errors import ConfigError, DataFormatError

NAN = float("nan")


def source(path, *, dim=1, rate=10.0, turns=None, fields=None, **table):
    table.setdefault("columns", ("x",))
    feature = FeatureConfig(
        name="f", dim=dim, group="visual", rate=rate, table=TableConfig(**table)
    )
    return TableSource(
        feature=feature,
        pieces=(Match(path, fields or {}),),
        fields={"session": "s", "role": "ann"},
        turns=turns or {},
    )


def write(folder, header, rows, name="t.csv", encoding="utf-8"):
    with open(folder / name, "w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([header, *rows])
    return folder / name


def read(found, cache=None):
    """Rate and values; NaN where there is no frame."""
    stream = found.open(cache)
    assert stream.data.dtype == np.float32 and not stream.data.flags.writeable
    values = np.array(stream.data, np.float32)
    if stream.valid is not None:
        assert not stream.valid.flags.writeable
        values[~stream.valid] = np.nan
    return stream.sample_rate, values[:, 0].tolist()


def same(found, expected):
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("times", "unit", "rate", "frames"),
    [
        # In any order; of equal times the first row counts.
        ([0.2, 0.0, 0.1, 0.1, 0.3], "s", 10.0, [1, 2, 0, 4]),
        # Dropped frames leave a gap, a late start too.
        ([0.2, 0.3, 0.6, 0.7], "s", 10.0, [NAN, NAN, 0, 1, NAN, NAN, 2, 3]),
        ([200, 300, 600], "ms", 10.0, [NAN, NAN, 0, 1, NAN, NAN, 2]),
        ([2, 3, 6], "frames", 10.0, [NAN, NAN, 0, 1, NAN, NAN, 2]),
        # A clock that jitters by less than half a frame.
        ([0.03, 0.07, 0.24, 0.3], "s", 10.0, [0, 1, 2, 3]),
        # Before the recording, and without a time.
        ([-0.3, "", 0.0, 0.1], "s", 10.0, [2, 3]),
        # Another rate is read at its own, and one within 2 % at the nominal.
        ([i / 25 for i in range(20)], "s", 25.0, range(20)),
        ([i / 9.9 for i in range(20)], "s", 10.0, range(20)),
        (["0:00.0", "0:00.1", "00:00:00.2"], "mm:ss", 10.0, [0, 1, 2]),
    ],
)  # fmt: skip
def test_times(tmp_path, times, unit, rate, frames):
    path = write(tmp_path, ("x", "t"), [(i, t) for i, t in enumerate(times)])
    found = read(source(path, time="t", time_unit=unit))
    assert found[0] == pytest.approx(rate)
    same(found[1], frames)
    cached = source(path, time="t", time_unit=unit)
    for _ in range(2):
        same(read(cached, tmp_path / "cache")[1], frames)


def test_a_rate_that_changes(tmp_path):
    """Half as many frames in the dark: the others are missing, at their own times."""
    times = [*np.arange(0, 2, 0.1), *np.arange(2, 3, 0.2)]
    path = write(tmp_path, ("x", "t"), [(t, t) for t in times])
    rate, values = read(source(path, time="t"))
    assert rate == pytest.approx(10.0)
    time = np.arange(len(values)) / 10
    valid = np.isfinite(values)
    np.testing.assert_allclose(np.array(values)[valid], time[valid], atol=1e-6)
    assert valid[:20].all() and valid[20:].tolist() == [True, False] * 4 + [True]


def test_times_count_from_the_first_row(tmp_path):
    path = write(tmp_path, ("x", "t"), [(i, 1.6e9 + i / 10) for i in range(4)])
    same(read(source(path, time="t", time_zero="first"))[1], range(4))
    with pytest.raises(DataFormatError, match="bytes of filler.*4 samples over 1.6e"):
        read(source(path, time="t"))


def test_rows_that_do_not_count(tmp_path):
    rows = [(0, 1, 0.9), (1, 0, 0.9), (2, 1, 0.5), (3, 1, ""), (4, 1, 0.8)]
    path = write(tmp_path, ("x", "success", "confidence"), rows)
    valid = ("success==1", "confidence>=0.8")
    same(read(source(path, valid=valid))[1], [0, NAN, NAN, NAN, 4])
    with pytest.raises(ConfigError, match="such as `confidence>=0.8`, got 'good'"):
        read(source(path, valid=("good",)))
    with pytest.raises(DataFormatError, match="a column 'sucess'.*'success'"):
        read(source(path, valid=("sucess==1",)))


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("", NAN), (" 1.5 ", 1.5), ("NA", NAN), ("null", NAN), ("-", NAN),
        ("True", 1), ("FALSE", 0), ("1e-3", 1e-3), ("-1.#IND00", NAN), ("inf", np.inf),
        ("n. def.", NAN), ("1,5", 1.5),
    ],
)  # fmt: skip
def test_what_stands_for_a_number(tmp_path, written, number):
    path = write(tmp_path, ("x", "y"), [(1, 0), (written, 0), (3, 0)])
    same(read(source(path))[1], np.float32([1, number, 3]))


@pytest.mark.parametrize("written", ["abc", "0x1F", "1_000", "1 000", "1.2.3"])
def test_text_is_no_number(tmp_path, written):
    path = write(tmp_path, ("x", "y"), [(1, 0), (written, 0)])
    with pytest.raises(DataFormatError, match=r"t.csv: `x`: expected numbers with"):
        read(source(path))


def test_a_file_that_mixes_decimal_signs_is_never_half_read(tmp_path):
    rows = [("0,5", 0), ("0.5", 0)]
    path = write(tmp_path, ("x", "y"), rows)
    with pytest.raises(DataFormatError, match=r"`x`: expected numbers.*got '0.5'"):
        read(source(path))
    # Far behind the lines that show the sign.
    path = write(tmp_path, ("x", "y"), [("1", 0)] * 300 + [("0,5", 0)])
    with pytest.raises(DataFormatError, match="decimal sign '.'"):
        read(source(path))
    same(read(source(path, decimal=","))[1][-2:], [1, 0.5])


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8-sig", "größe"), ("utf-16", "größe"), ("latin-1", "größe")],
)
def test_encodings(tmp_path, encoding, name):
    path = write(tmp_path, (name, "y"), [(1, 0), (2, 0)], encoding=encoding)
    same(read(source(path, columns=(name,)))[1], [1, 2])
    declared = write(tmp_path, ("цена",), [(1,)], "c.csv", encoding="cp1251")
    same(read(source(declared, columns=("цена",), encoding="cp1251"))[1], [1])


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("x\n0,5\n", ("x",), [0.5]),
        ("x;y\n0,5;1\n", ("x",), [0.5]),
        ("0.5 7\n1.5 8\n", ("0",), [0.5, 1.5]),
        ("5e-1\t7\n1.5\t8", ("1",), [7, 8]),
        ("x\ty\n1\t2\n", ("y",), [2]),
        ("x,y", ("y",), []),
        ("x,y\n", ("y",), []),
    ],
)
def test_heads(tmp_path, text, names, values):
    path = tmp_path / "t.txt"
    path.write_text(text)
    same(read(source(path, columns=names))[1], values)


def test_columns(tmp_path):
    header = (" frame", "AU01_r ", "AU02_r", "AU01_c", "frame", "t")
    path = write(tmp_path, header, [(i, 2 * i, 3 * i, 1, -i, i / 10) for i in range(3)])

    def columns(*names, dim, **options):
        found = source(path, columns=names, dim=dim, time="t", **options)
        return found.summarize(None).columns

    assert columns("AU*_r", dim=2) == ("AU01_r", "AU02_r")
    assert columns("frame.1", "AU01_?", dim=3) == ("frame.1", "AU01_r", "AU01_c")
    assert len(columns(dim=5)) == 5
    assert len(columns(dim=4, valid=("AU01_c==1",))) == 4
    with pytest.raises(DataFormatError, match=r"expected 3 \(`features.f.dim`"):
        columns("AU*_r", dim=3)
    with pytest.raises(DataFormatError, match="expected a column 'AU1_r'.*'AU01_r'"):
        columns("AU1_r", dim=1)


def test_rows_of_one_person_of_several(tmp_path):
    rows = [("Ann", 1, 0), ("bob", 2, 0), ("ann", 3, 0.1), ("bob", 4, 0.1)]
    path = write(tmp_path, ("who", "x", "t"), rows)
    same(read(source(path, rows=("who={role}",)))[1], [1, 3])
    same(read(source(path, time="t", rows=("who={role}",)))[1], [1, 3])
    with pytest.raises(DataFormatError, match="a column 'speaker'"):
        read(source(path, rows=("speaker={role}",)))


@pytest.mark.parametrize("name", ["tim?", "t*", "[t]ime"])
def test_a_column_of_times_is_no_pattern(tmp_path, name):
    path = write(tmp_path, ("time", "a"), [(0, 1), (0.1, 2)])
    with pytest.raises(DataFormatError, match=re.escape(f"a column {name!r}")):
        read(source(path, columns=("a",), time=name))


def test_pieces_of_turns(tmp_path):
    turns = {"1": Span(0.0, 0.3), "2": Span(0.5, 0.8)}
    rows = [("s_T1", 0), ("s_T1", 1), ("s_T2", 2), ("s_T2", 3), ("s_T2", 4)]
    # More than the turn has time for, and a turn that nobody knows.
    rows += [("s_T2", 5), ("s_T2", 6), ("s_T9", 7)]
    path = write(tmp_path, ("id", "x"), rows)
    keys = ("id={session}_T{turn}",)
    frames = [0, 1, NAN, NAN, NAN, 2, 3, 4]
    same(read(source(path, turns=turns, rows=keys))[1], frames)
    with pytest.raises(ConfigError, match="belongs to a turn; set `time` with"):
        read(source(path, rows=keys))
    timed = write(tmp_path, ("t", "x"), [(0.0, 8), (0.1, 9)], "T2.csv")
    found = source(timed, turns=turns, fields={"turn": "2"}, time="t", time_zero="turn")
    same(read(found)[1], [NAN] * 5 + [8, 9])
    found = source(timed, turns=turns, fields={"turn": "2"}, time="t")
    same(read(found)[1], [8, 9])


def test_statistics_of_turns_hold(tmp_path):
    turns = {"1": Span(0.0, 0.3), "2": Span(0.5, 0.8)}
    path = write(tmp_path, ("turn", "x"), [(2, 5), (1, 4)])
    found = source(path, turns=turns, rows=("turn={turn}",), hold=True)
    same(read(found)[1], [4, 4, 4, NAN, NAN, 5, 5, 5])
    timed = write(tmp_path, ("t", "x"), [(0.1, 1), (0.35, 2), (0.5, 3)])
    rate, values = read(source(timed, time="t", hold=True))
    assert rate == 10.0
    same(values, [NAN, 1, 1, 1, 2, 3])


def test_a_file_for_each_frame(tmp_path):
    pieces = []
    for frame in (3, 0, 1):
        path = write(tmp_path, ("x",), [(frame,), (-1,)], f"a_{frame:012d}.csv")
        pieces.append(Match(path, {"frame": f"{frame:012d}"}))
    found = dataclasses.replace(source(path), pieces=tuple(pieces))
    same(read(found)[1], [0, 1, NAN, 3])


def test_npy_files_are_mapped_as_they_are(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(8, dtype=np.float32).reshape(4, 2))
    found = source(tmp_path / "x.npy", dim=2, columns=())
    data = found.open(tmp_path / "cache").data
    assert isinstance(data, np.memmap) and data.shape == (4, 2)
    assert not list((tmp_path / "cache").rglob("*.npy"))
    one = source(tmp_path / "x.npy", columns=("1",))
    same(read(one, tmp_path / "cache")[1], [1, 3, 5, 7])


def test_a_changed_file_is_read_again(tmp_path):
    path = write(tmp_path, ("x",), [(1,), (2,)])
    same(read(source(path), tmp_path / "cache")[1], [1, 2])
    write(tmp_path, ("x",), [(1,), (2,), (3,)])
    same(read(source(path), tmp_path / "cache")[1], [1, 2, 3])


def test_a_damaged_summary_is_made_anew(tmp_path, caplog):
    path = write(tmp_path, ("x", "t"), [(1, 0), (2, 0.1)])
    found = source(path, time="t")
    read(found, tmp_path / "cache")
    (summary,) = (tmp_path / "cache").rglob("*.npz")
    summary.write_bytes(summary.read_bytes()[:100])
    same(read(found, tmp_path / "cache")[1], [1, 2])
    assert "damaged" in caplog.text


def test_claims_of_arrays_are_not_believed(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(1 << 27, np.uint8))
    with pytest.raises(DataFormatError, match="200 times as many bytes"):
        read(source(path))
    path = tmp_path / "short.npy"
    np.save(path, np.zeros((4, 1), np.float32))
    raw = path.read_bytes().replace(b"(4, 1), ", b"(4444, 1),")
    path.write_bytes(raw)
    with pytest.raises(DataFormatError, match="short.npy: `array`"):
        read(source(path, columns=()))


def test_more_rows_than_bytes_are_refused(tmp_path):
    path = tmp_path / "bomb.parquet"
    parquet.write_table(pa.table({"x": np.zeros(6 << 20, np.int8)}), path)
    with pytest.raises(DataFormatError, match="at most .* in a file of this size"):
        read(source(path, rate=1000.0))
