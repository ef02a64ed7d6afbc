"""Streams and label files: every rule of the formats, and what must be refused."""

import logging
import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from damamba_jax.data.formats import ssi, stream_header
from damamba_jax.data.formats.headers import MAX_HEADER_BYTES
from damamba_jax.errors import DataFormatError

SAMPLES = os.environ.get("DAMAMBA_SSI_SAMPLES", "")


def write(
    folder: Path,
    data: bytes,
    *,
    info: str = 'ftype="BINARY" sr="25.000000" dim="2" byte="4" type="FLOAT"',
    chunks: str = '<chunk from="0.000000" to="0.160000" byte="0" num="4"/>',
    root: str = '<stream ssi-v="2">',
) -> Path:
    path = folder / "x.stream"
    path.write_text(f'<?xml version="1.0" ?>\n{root}<info {info}/>{chunks}</stream>')
    (folder / "x.stream~").write_bytes(data)
    return path


def rows(num: int, dim: int = 2) -> np.ndarray:
    return np.arange(num * dim, dtype="<f4").reshape(num, dim)


def test_binary_samples_are_mapped_read_only(tmp_path):
    stream = ssi.read_stream(write(tmp_path, rows(4).tobytes()))
    assert isinstance(stream.data, np.memmap)
    assert not stream.data.flags.writeable
    assert (stream.sample_rate, stream.dim, stream.num_frames) == (25.0, 2, 4)
    assert stream.valid is None
    np.testing.assert_array_equal(stream.data, rows(4))


@pytest.mark.parametrize(
    "dtype", ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8"]
)
@pytest.mark.parametrize("ftype", ["BINARY", "ASCII"])
def test_round_trip(tmp_path, dtype, ftype):
    data = np.array([[1, 2, 3], [100, 5, 6]], dtype)
    ssi.write_stream(tmp_path / "x.stream", data, 12.5, ftype=ftype, delim=";")
    stream = ssi.read_stream(tmp_path / "x.stream")
    assert stream.data.dtype == data.dtype
    assert stream.sample_rate == 12.5
    np.testing.assert_array_equal(stream.data, data)


def test_round_trip_of_booleans_and_of_no_frames(tmp_path):
    data = np.array([[True], [False]])
    ssi.write_stream(tmp_path / "b.stream", data, 25.0)
    np.testing.assert_array_equal(ssi.read_stream(tmp_path / "b.stream").data, data)
    ssi.write_stream(tmp_path / "e.stream", np.empty((0, 3), np.float32), 25.0)
    assert ssi.read_stream(tmp_path / "e.stream").data.shape == (0, 3)


@pytest.mark.parametrize(
    ("kind", "width", "dtype"),
    [
        ("LONG", 4, "<i4"),
        ("ULONG", 4, "<u4"),
        ("LDOUBLE", 8, "<f8"),
        ("FLOAT", 8, "<f8"),
        ("float", 4, "<f4"),
        ("UCHAR", 1, "|u1"),
    ],
)
def test_the_width_in_the_header_counts(tmp_path, kind, width, dtype):
    info = f'ftype="binary" sr="25" dim="2" byte="{width}" type="{kind}"'
    path = write(tmp_path, np.arange(8, dtype=dtype).tobytes(), info=info)
    stream = ssi.read_stream(path)
    assert stream.data.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(stream.data, np.arange(8).reshape(4, 2))


@pytest.mark.parametrize("to", ["1.#INF00", "-1.#IND00", "1701", "nonsense", ""])
def test_to_is_ignored(tmp_path, to):
    chunks = f'<chunk from="0.0" to="{to}" byte="0" num="4"/>'
    assert ssi.read_stream(write(tmp_path, bytes(32), chunks=chunks)).num_frames == 4


def test_header_as_other_tools_write_it(tmp_path):
    path = tmp_path / "x.stream"
    path.write_bytes(
        b'\xef\xbb\xbf<?xml version="1.0" ?>\r\n<stream ssi-v ="2">\r\n'
        b'<info ftype="BINARY" sr="25.000" dim="2" byte="4" type="FLOAT" delim=" "/>'
        b'\r\n<meta type="" who="J\xfcrgen"/>\r\n<time ms="1" local="x"/>\r\n'
        b'<chunk from="0.000" to="0.160" byte="0" num="None"/></stream>'
    )
    (tmp_path / "x.stream~").write_bytes(bytes(32))
    assert ssi.read_stream(path).num_frames == 4


@pytest.mark.parametrize(("claimed", "read"), [(3, 3), (9, 4), (10**15, 4)])
def test_frames_are_the_smaller_of_num_and_rows(tmp_path, caplog, claimed, read):
    path = write(
        tmp_path,
        rows(4).tobytes(),
        chunks=f'<chunk from="0" byte="0" num="{claimed}"/>',
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            stream = ssi.read_stream(path)
    np.testing.assert_array_equal(stream.data, rows(4)[:read])
    assert ssi.count_frames(stream_header.read_header(path)) == read
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 1
    assert f"num={claimed}" in lines[0] and "holds 4" in lines[0]


def test_a_single_chunk_that_was_never_counted_is_read_whole(tmp_path):
    chunks = '<chunk from="0" byte="0" num="0"/>'
    assert ssi.read_stream(write(tmp_path, bytes(32), chunks=chunks)).num_frames == 4


TWO_CHUNKS = (
    '<chunk from="0.08" to="0" byte="0" num="3"/>'
    '<chunk from="0.4" to="0" byte="24" num="2"/>'
)


@pytest.mark.parametrize("cached", [False, True])
def test_chunks_are_placed_in_time(tmp_path, cached):
    path = write(tmp_path, rows(5).tobytes(), chunks=TWO_CHUNKS)
    cache_dir = tmp_path / "cache" if cached else None
    stream = ssi.read_stream(path, cache_dir=cache_dir)
    # 0.08 s and 0.4 s at 25 Hz are frames 2 and 10.
    expected = np.full((12, 2), np.nan, np.float32)
    expected[2:5], expected[10:12] = rows(5)[:3], rows(5)[3:]
    np.testing.assert_array_equal(stream.data, expected)
    np.testing.assert_array_equal(stream.valid, ~np.isnan(expected[:, 0]))
    assert not stream.data.flags.writeable
    assert ssi.count_frames(stream_header.read_header(path)) == 12
    assert isinstance(stream.data, np.memmap) == cached


def test_chunks_are_concatenated(tmp_path):
    path = write(tmp_path, rows(5).tobytes(), chunks=TWO_CHUNKS)
    stream = ssi.read_stream(path, mode="concatenate")
    assert stream.valid is None and isinstance(stream.data, np.memmap)
    np.testing.assert_array_equal(stream.data, rows(5))


def test_byte_is_an_offset_into_the_file(tmp_path):
    # Eight bytes that belong to no chunk stand before and between the two.
    chunks = '<chunk from="0" byte="8" num="2"/><chunk from="0.08" byte="32" num="1"/>'
    path = write(tmp_path, rows(5).tobytes(), chunks=chunks)
    np.testing.assert_array_equal(ssi.read_stream(path).data, rows(5)[[1, 2, 4]])


def test_chunks_that_overlap_in_time_follow_each_other(tmp_path, caplog):
    chunks = '<chunk from="0" byte="0" num="4"/><chunk from="0.04" byte="32" num="1"/>'
    path = write(tmp_path, rows(5).tobytes(), chunks=chunks)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(ssi.read_stream(path).data, rows(5))
    assert "frame 1" in caplog.text


def test_gaps_survive_a_round_trip(tmp_path):
    valid = np.ones(50, bool)
    valid[:3] = valid[20:30] = False
    for ftype in ("BINARY", "ASCII"):
        for data in (rows(50), rows(50).astype("i4")):
            path = tmp_path / "x.stream"
            ssi.write_stream(path, data, 25.0, valid=valid, ftype=ftype)
            stream = ssi.read_stream(path)
            np.testing.assert_array_equal(stream.valid, valid)
            np.testing.assert_array_equal(stream.data[valid], data[valid])
    # Integers have no NaN.
    assert not stream.data[~valid].any()


ASCII = 'ftype="ASCII" sr="25" dim="2" byte="4" type="FLOAT"'


def test_ascii_as_windows_prints_it(tmp_path):
    text = (
        b"0.5 nan \r\n-nan(ind)  1e-3\r\n1.#IND00 -1.#IND00\r\n"
        b"1.#INF00 -1.#INF00\r\n1.#QNAN0 nan(ind)\r\n-nan 7\r\n\r\n"
    )
    chunks = '<chunk from="0" byte="0" num="6"/>'
    stream = ssi.read_stream(write(tmp_path, text, info=ASCII, chunks=chunks))
    nan, inf = np.nan, np.inf
    expected = [[0.5, nan], [nan, 1e-3], [nan, nan], [inf, -inf], [nan, nan], [nan, 7]]
    np.testing.assert_array_equal(stream.data, np.array(expected, np.float32))


def test_ascii_chunks_begin_at_their_bytes(tmp_path):
    chunks = '<chunk from="0" byte="0" num="2"/><chunk from="0.2" byte="10" num="1"/>'
    path = write(
        tmp_path, b"1;2\r\n3;4\r\n5;6", info=ASCII + ' delim=";"', chunks=chunks
    )
    stream = ssi.read_stream(path)
    np.testing.assert_array_equal(stream.data[[0, 1, 5]], [[1, 2], [3, 4], [5, 6]])
    assert stream.valid.tolist() == [True, True, False, False, False, True]


def test_ascii_goes_through_the_cache_once(tmp_path):
    path = write(tmp_path, b"1 2\n3 4\n", info=ASCII)
    cache = tmp_path / "cache"
    first = ssi.read_stream(path, cache_dir=cache)
    (file,) = cache.rglob("*.npy")
    written = file.stat().st_mtime_ns
    again = ssi.read_stream(path, cache_dir=cache)
    assert file.stat().st_mtime_ns == written
    for stream in (first, again):
        assert isinstance(stream.data, np.memmap) and not stream.data.flags.writeable
        np.testing.assert_array_equal(stream.data, [[1, 2], [3, 4]])
    # Another content is another entry.
    (tmp_path / "x.stream~").write_bytes(b"1 2\n3 4\n5 6\n")
    np.testing.assert_array_equal(
        ssi.read_stream(path, cache_dir=cache).data, [[1, 2], [3, 4], [5, 6]]
    )
    assert len(list(cache.rglob("*"))) == 3


INFO = 'ftype="BINARY" sr="25" dim="2" byte="4" type="FLOAT"'


@pytest.mark.parametrize(
    ("info", "field", "got"),
    [
        (INFO.replace("BINARY", "BIN_LZ4"), "info.ftype", "BIN_LZ4"),
        (INFO.replace("BINARY", "HDF5"), "info.ftype", "HDF5"),
        (INFO.replace("FLOAT", "STRUCT"), "info.type", "STRUCT"),
        (INFO.replace('byte="4"', 'byte="3"'), "info.byte", "3"),
        (INFO.replace("FLOAT", "BOOL").replace('"4"', '"16"'), "info.byte", "16"),
        (INFO.replace('dim="2"', 'dim="0"'), "info.dim", "0"),
        (INFO.replace('dim="2"', 'dim="2.5"'), "info.dim", "2.5"),
        (INFO.replace('dim="2"', 'dim="1000000000"'), "info.dim", "1000000000"),
        (INFO.replace('dim="2"', f'dim="{"9" * 5000}"'), "info.dim", "9999"),
        (INFO.replace('sr="25"', 'sr="1e300"'), "info.sr", "1e300"),
        (INFO.replace('sr="25"', 'sr="nan"'), "info.sr", "nan"),
        (INFO.replace('sr="25"', 'sr="-1"'), "info.sr", "-1"),
        (INFO.replace('sr="25"', ""), "info.sr", "nothing"),
        (INFO + ' delim="5"', "info.delim", "5"),
    ],
)
def test_malformed_info(tmp_path, info, field, got):
    path = write(tmp_path, bytes(32), info=info)
    with pytest.raises(DataFormatError) as error:
        ssi.read_stream(path)
    assert str(error.value).startswith(f"{path}: `{field}`: expected ")
    assert f"got {got}" in str(error.value).replace("'", "")


@pytest.mark.parametrize(
    ("chunks", "match"),
    [
        ("", "stream.chunk"),
        ('<chunk from="0" byte="-8" num="1"/>', "chunk.byte"),
        ('<chunk from="0" byte="0" num="-1"/>', "chunk.num"),
        ('<chunk from="inf" byte="0" num="4"/>', "chunk.from"),
        ('<chunk from="0" byte="3" num="4"/>', "whole rows"),
        ('<chunk byte="8" num="1"/><chunk byte="0" num="1"/>', r"chunk\[1\].byte"),
        ('<chunk byte="0" num="4"/><chunk byte="0" num="4"/>', r"chunk\[1\].byte"),
        ('<chunk num="4"/><chunk byte="8" num="4"/>', "chunk.byte"),
    ],
)
def test_malformed_chunks(tmp_path, chunks, match):
    with pytest.raises(DataFormatError, match=match):
        ssi.read_stream(write(tmp_path, bytes(32), chunks=chunks))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"1 2\n3\n", "line 2.*expected 2 columns, got 1"),
        (b"1 2\n3 4 5\n", "line 2.*expected 2 columns, got 3"),
        (b"1 x\n", "line 1.*expected float32 numbers"),
        (b"1 1_0\n", "line 1.*expected float32 numbers"),
        (b"1 2" * 10000, "line 1"),
        (b"1\n2\n", "expected 2 columns"),
    ],
)
def test_malformed_ascii(tmp_path, text, match):
    with pytest.raises(DataFormatError, match=match):
        ssi.read_stream(write(tmp_path, text, info=ASCII))


def test_ascii_chunk_inside_a_line(tmp_path):
    chunks = '<chunk from="0" byte="0" num="1"/><chunk from="1" byte="5" num="1"/>'
    path = write(tmp_path, b"1 2\n3 4\n", info=ASCII, chunks=chunks)
    with pytest.raises(DataFormatError, match="beginning of a line"):
        ssi.read_stream(path)


@pytest.mark.parametrize("text", ["300 1", "-1 0", "1.5 2", "nan 1", f"{10**30} 1"])
def test_ascii_integers_must_fit_their_type(tmp_path, text):
    info = 'ftype="ASCII" sr="25" dim="2" byte="1" type="UCHAR"'
    with pytest.raises(DataFormatError, match="expected uint8 numbers"):
        ssi.read_stream(write(tmp_path, text.encode(), info=info))


def test_partial_row_and_missing_data(tmp_path):
    path = write(tmp_path, bytes(33))
    with pytest.raises(DataFormatError, match=r"2 \* 4 = 8 bytes.*got 33 bytes"):
        ssi.read_stream(path)
    (tmp_path / "x.stream~").unlink()
    with pytest.raises(DataFormatError, match="got none"):
        ssi.read_stream(path)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"stream",
        b"<stream ssi-v='2'>",
        b"<annotation ssi-v='3'/>",
        b"<stream/>",
        b"<stream ssi-v='1'/>",
        b"<stream ssi-v='2'/>",
        b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><stream ssi-v="2">&c;'
        b"</stream>",
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><stream ssi-v="2"/>',
        b'<?xml version="1.0" encoding="no-such"?><stream ssi-v="2"/>',
        b"\xff\xfe<\0s\0",
        b"<a>" * 100_000,
        b"<stream ssi-v='2'>" + b" " * MAX_HEADER_BYTES + b"</stream>",
    ],
)
def test_malformed_xml(tmp_path, header):
    path = tmp_path / "x.stream"
    path.write_bytes(header)
    with pytest.raises(DataFormatError, match="expected"):
        stream_header.read_header(path)


@pytest.mark.parametrize(
    ("info", "chunks"),
    [
        (INFO, '<chunk from="1e9" byte="0" num="4"/>'),
        (INFO, '<chunk from="1e12" byte="0" num="4"/>'),
        (INFO, '<chunk from="0" byte="0" num="1000000000000000"/>'),
        (INFO, '<chunk from="0" byte="9000000000000000000" num="4"/>'),
        (INFO.replace('dim="2"', 'dim="1048576"'), '<chunk byte="0" num="4"/>'),
        (INFO.replace('sr="25"', 'sr="1e6"'), '<chunk from="1e6" byte="0" num="4"/>'),
        (
            ASCII.replace('dim="2"', 'dim="1048576"'),
            '<chunk from="0" byte="0" num="1000000"/>',
        ),
        (INFO, '<chunk byte="0" num="9"/>' * 2000),
    ],
)
def test_nothing_is_allocated_from_a_claim(tmp_path, info, chunks):
    path = write(tmp_path, b"1 2\n1 2\n" * 4, info=info, chunks=chunks)
    tracemalloc.start()
    begin = time.process_time()
    try:
        assert ssi.read_stream(path).num_frames <= 4
    except DataFormatError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # A header's tree takes some megabytes at most.
    assert peak < 16e6
    assert time.process_time() - begin < 5.0


def test_gaps_are_bounded_by_the_size_of_the_file(tmp_path):
    limit = stream_header.MAX_GAP_BYTES + stream_header.MAX_GAP_FACTOR * 32
    frames = limit // 8
    for frame, fits in ((frames, True), (frames + 1, False)):
        chunks = f'<chunk from="{frame / 25}" byte="0" num="4"/>'
        header = stream_header.read_header(write(tmp_path, bytes(32), chunks=chunks))
        if fits:
            assert ssi.count_frames(header) == frame + 4
        else:
            with pytest.raises(DataFormatError, match="concatenate"):
                ssi.count_frames(header)
    assert ssi.read_stream(header.path, mode="concatenate").num_frames == 4


def test_bad_arguments(tmp_path):
    path = tmp_path / "x.stream"
    with pytest.raises(ValueError, match="`data`: expected .*float16"):
        ssi.write_stream(path, np.zeros((2, 2), np.float16), 25.0)
    with pytest.raises(ValueError, match="`data`: expected"):
        ssi.write_stream(path, np.zeros(2), 25.0)
    with pytest.raises(ValueError, match="`valid`: expected"):
        ssi.write_stream(path, np.zeros((2, 1)), 25.0, valid=np.ones(3, bool))
    with pytest.raises(ValueError, match="`sample_rate`"):
        ssi.write_stream(path, np.zeros((2, 1)), float("nan"))
    assert not list(tmp_path.iterdir())


def test_labels_keep_their_line(tmp_path):
    path = tmp_path / "l.csv"
    path.write_bytes(b"0.25\r\n\r\nnan\r\n-nan(ind)\r\n 1 \r\n1.#INF00\r\noops\r\n0.5")
    nan = np.nan
    expected = [0.25, nan, nan, nan, 1.0, nan, nan, 0.5]
    np.testing.assert_array_equal(ssi.read_labels(path), expected)
    assert ssi.count_labels(path) == 8


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b"\n", [np.nan]),
        (b"0.5\n\n", [0.5, np.nan]),
        (b"\xef\xbb\xbf0.5\n", [0.5]),
        (b"\xef\xbb\xbf", []),
        (b"0.5\r0.25\r", [0.5, 0.25]),
        (b"0.5\n\xe4\n0.25\n", [0.5, np.nan, 0.25]),
        (b"nan\nnan\n", [np.nan, np.nan]),
    ],
)
def test_label_lines(tmp_path, raw, expected):
    path = tmp_path / "l.csv"
    path.write_bytes(raw)
    np.testing.assert_array_equal(ssi.read_labels(path), np.array(expected, float))
    assert ssi.count_labels(path) == len(expected)


def test_labels_without_a_number_are_refused(tmp_path):
    path = tmp_path / "l.csv"
    path.write_text("0.0;1.0;0.5;1.0\n")
    with pytest.raises(DataFormatError, match="line 1.*one number per line"):
        ssi.read_labels(path)


def test_labels_round_trip(tmp_path):
    values = np.array([0.0, 7 / 24, np.nan, 1.0])
    ssi.write_labels(tmp_path / "l.csv", values)
    np.testing.assert_allclose(ssi.read_labels(tmp_path / "l.csv"), values, atol=5e-7)


@pytest.mark.skipif(
    not SAMPLES, reason="DAMAMBA_SSI_SAMPLES names no folder with real SSI files"
)
def test_real_files():
    folder = Path(SAMPLES)
    binary = ssi.read_stream(folder / "rsp.stream")
    text = ssi.read_stream(folder / "signal.stream")
    assert binary.data.shape == text.data.shape == (732, 2)
    assert binary.sample_rate == 256.0
    assert np.abs(binary.data - text.data).max() < 5e-7
    header = stream_header.read_header(folder / "noxi_expert.au.stream")
    assert (header.dim, header.chunks[0].num) == (17, 26625)


def test_decimal_commas(tmp_path):
    labels = tmp_path / "l.csv"
    labels.write_bytes(b"0\r\n0,25\r\n0,5\r\n1\r\n0,75\r\n")
    assert ssi.read_labels(labels).tolist() == [0, 0.25, 0.5, 1, 0.75]
    labels.write_bytes(b"0\n0,25\n0.5\n")
    with pytest.raises(DataFormatError, match="line 3.*one decimal sign"):
        ssi.read_labels(labels)
    stream = tmp_path / "x.stream"
    values = np.float32([[0.25, 1], [2, -0.5]])
    ssi.write_stream(stream, values, 4.0, ftype="ASCII", delim=";")
    samples = tmp_path / "x.stream~"
    samples.write_bytes(samples.read_bytes().replace(b".", b","))
    np.testing.assert_array_equal(ssi.read_stream(stream).data, values)
    samples.write_bytes(samples.read_bytes().replace(b"2,0", b"2.0"))
    with pytest.raises(DataFormatError, match="decimal sign"):
        ssi.read_stream(stream)
