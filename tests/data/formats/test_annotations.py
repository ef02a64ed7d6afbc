"""NOVA annotations: three schemes, two encodings, and what other tools get wrong."""

import logging
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from damamba_jax.data.formats import annotations
from damamba_jax.data.formats.annotations import (
    ContinuousAnnotation,
    DiscreteAnnotation,
    FreeAnnotation,
)
from damamba_jax.errors import DataFormatError

SAMPLES = os.environ.get("DAMAMBA_SSI_SAMPLES", "")

SCHEMES = {
    "CONTINUOUS": '<scheme name="s" type="CONTINUOUS" sr="25" min="0" max="1"/>',
    "DISCRETE": '<scheme name="s" type="DISCRETE"><item name="a" id="0" color="#FF"/>'
    '<item name="b" id="1"/></scheme>',
    "FREE": '<scheme name="s" type="FREE"/>',
}


def write(
    folder: Path, kind: str, data: bytes, *, info: str = '<info ftype="ASCII"/>'
) -> Path:
    path = folder / "x.annotation"
    path.write_text(f'<annotation ssi-v="3">{info}{SCHEMES[kind]}</annotation>')
    (folder / "x.annotation~").write_bytes(data)
    return path


def examples() -> list[annotations.Annotation]:
    confidence = np.array([1.0, 0.5, 0.25], np.float32)
    times = {
        "start": np.array([0.1, 1 / 3, 2.0]),
        "stop": np.array([0.2, 1.5, 1e4]),
        "confidence": confidence,
        "meta": {"annotator": 'J"ürgen & <co>', "role": "novice"},
    }
    return [
        ContinuousAnnotation(
            name="engagement",
            sample_rate=25.0,
            minimum=0.0,
            maximum=1.0,
            score=np.array([0.1, np.nan, 1.0], np.float32),
            confidence=confidence,
        ),
        DiscreteAnnotation(
            name="d",
            classes={0: "a & b", 7: "ü"},
            id=np.array([0, 7, -1], np.int32),
            **times,
        ),
        FreeAnnotation(name="f", label=("", "grüß 你好", "a, b"), **times),
    ]


@pytest.mark.parametrize("ftype", ["ASCII", "BINARY"])
@pytest.mark.parametrize("annotation", examples(), ids=lambda a: type(a).__name__)
def test_round_trip(tmp_path, annotation, ftype):
    path = tmp_path / "x.annotation"
    annotations.write_annotation(path, annotation, ftype=ftype)
    read = annotations.read_annotation(path)
    assert type(read) is type(annotation)
    for field, value in vars(annotation).items():
        if isinstance(value, np.ndarray):
            assert getattr(read, field).dtype == value.dtype
            np.testing.assert_array_equal(getattr(read, field), value)
        else:
            assert getattr(read, field) == value


def test_text_that_a_line_cannot_hold(tmp_path):
    one = np.zeros(1)
    annotation = FreeAnnotation(
        name="f",
        start=one,
        stop=one,
        label=("a;b",),
        confidence=np.ones(1, np.float32),
    )
    with pytest.raises(ValueError, match="ftype='BINARY'"):
        annotations.write_annotation(tmp_path / "x.annotation", annotation)
    assert not list(tmp_path.iterdir())


def test_continuous_lines_keep_their_index(tmp_path):
    text = b"0,5;1,0\r\n\r\n-nan(ind);0\r\n0,25\r\nnan;1"
    read = annotations.read_annotation(write(tmp_path, "CONTINUOUS", text))
    nan = np.nan
    np.testing.assert_array_equal(read.score, np.float32([0.5, nan, nan, 0.25, nan]))
    np.testing.assert_array_equal(read.confidence, np.float32([1, 0, 0, 1, 1]))


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        ("0,25;1\r\nn. def.;1\r\n-0,5;0,75\r\n", "cp1252"),
        ("0,25;1\r\nNon Numérique;1\r\n-0,5;0,75\r\n", "cp1252"),
        ("0.25;1\r\nNaN (非数値);1\r\n-0.5;0.75\r\n", "cp932"),
        ("0.25;1\r\nNaN;1\r\n-0.5;0.75\r\n", "ascii"),
    ],
)
def test_numbers_of_other_languages(tmp_path, lines, encoding):
    path = write(tmp_path, "CONTINUOUS", lines.encode(encoding))
    read = annotations.read_annotation(path)
    np.testing.assert_array_equal(read.score, np.float32([0.25, np.nan, -0.5]))
    header = path.read_text()
    assert 'sr="25"' in header
    path.write_text(header.replace('sr="25"', 'sr="12,5"'))
    assert annotations.read_annotation(path).sample_rate == 12.5


def test_a_file_has_one_decimal_sign(tmp_path):
    path = write(tmp_path, "CONTINUOUS", b"0,5;1\n0.25;1\n")
    with pytest.raises(DataFormatError, match="line 2.*decimal sign"):
        annotations.read_annotation(path)


def test_segments_with_what_nova_appends(tmp_path):
    read = annotations.read_annotation(
        write(tmp_path, "FREE", b"0;1;\xfcber;0.5;color=#FF\r\n1;2;b;1.0\r\n\r\n")
    )
    assert read.label == ("über", "b")
    read = annotations.read_annotation(write(tmp_path, "DISCRETE", b"0;1;-1\n"))
    assert read.id.tolist() == [-1] and read.confidence.tolist() == [1.0]
    assert read.classes == {0: "a", 1: "b"}


@pytest.mark.parametrize("info", ["", '<info ftype="ASCII" size="0"/>'])
def test_templates_have_no_data_file(tmp_path, info):
    path = write(tmp_path, "CONTINUOUS", b"", info=info)
    (tmp_path / "x.annotation~").unlink()
    assert annotations.read_annotation(path).score.shape == (0,)


@pytest.mark.parametrize(("size", "num"), [(1, 1), (2, 2), (9, 2)])
def test_at_most_size_labels_are_read(tmp_path, caplog, size, num):
    info = f'<info ftype="ASCII" size="{size}"/>'
    path = write(tmp_path, "CONTINUOUS", b"0.5;1\n0.6;1\n", info=info)
    with caplog.at_level(logging.WARNING):
        assert annotations.read_annotation(path).score.shape == (num,)
    assert (f"size={size}" in caplog.text and "holds 2" in caplog.text) == (size != 2)


def test_text_lengths_in_characters(tmp_path):
    """NOVA counts characters, but writes UTF-8."""
    data = b"".join(
        struct.pack("<ddI", i, i + 1, len(text)) + text.encode() + struct.pack("<f", 1)
        for i, text in enumerate(["grüß", "dich", "你好"])
    )
    path = write(tmp_path, "FREE", data, info='<info ftype="BINARY" size="3"/>')
    read = annotations.read_annotation(path)
    assert read.label == ("grüß", "dich", "你好")
    assert read.start.tolist() == [0.0, 1.0, 2.0]


BINARY = '<info ftype="BINARY" size="2"/>'


@pytest.mark.parametrize(
    ("kind", "data", "info", "match"),
    [
        ("CONTINUOUS", b"x;1\n", '<info ftype="ASCII"/>', "line 1"),
        ("DISCRETE", b"0;1;a;1\n", '<info ftype="ASCII"/>', "line 1"),
        ("DISCRETE", b"0;1;0.5;1\n", '<info ftype="ASCII"/>', "integer"),
        ("DISCRETE", b"0;1;3000000000;1\n", '<info ftype="ASCII"/>', "32 bits"),
        ("DISCRETE", b"nan;1;0;1\n", '<info ftype="ASCII"/>', "finite"),
        ("DISCRETE", b"0;1;0;1\n\n0;1;0;1", '<info ftype="ASCII"/>', "line 2"),
        ("FREE", b"0;1\n", '<info ftype="ASCII"/>', "line 1"),
        ("CONTINUOUS", b"", '<info ftype="BIN_LZ4"/>', "info.ftype.*BIN_LZ4"),
        ("CONTINUOUS", b"", '<info ftype="ASCII" size="-1"/>', "info.size.*-1"),
        ("CONTINUOUS", bytes(15), BINARY, "whole labels of 8 bytes, got 15"),
        ("DISCRETE", bytes(32), BINARY, "discover-utils"),
        ("DISCRETE", struct.pack("<ddif", np.inf, 1, 0, 1), BINARY, "finite"),
        ("FREE", bytes(19), BINARY, "label"),
        ("FREE", struct.pack("<ddI", 0, 1, 2**32 - 1), BINARY, "length 4294967295"),
        (
            "FREE",
            struct.pack("<ddI", 0, 1, 2) + b"\xff\xff" + bytes(4),
            BINARY,
            "label",
        ),
    ],
)
def test_malformed_labels(tmp_path, kind, data, info, match):
    path = write(tmp_path, kind, data, info=info)
    with pytest.raises(DataFormatError, match=match) as error:
        annotations.read_annotation(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("scheme", "match"),
    [
        ("", "annotation.scheme"),
        ('<scheme name="s" type="POINT"/>', "DISCRETE or FREE, got 'POINT'"),
        ('<scheme name="s" type="CONTINUOUS" min="0" max="1"/>', "scheme.sr"),
        (
            '<scheme name="s" type="DISCRETE"><item name="a" id="x"/></scheme>',
            "item.id",
        ),
    ],
)
def test_malformed_schemes(tmp_path, scheme, match):
    path = tmp_path / "x.annotation"
    path.write_text(f'<annotation ssi-v="3">{scheme}</annotation>')
    with pytest.raises(DataFormatError, match=match):
        annotations.read_annotation(path)


def test_missing_data_file(tmp_path):
    path = write(tmp_path, "FREE", b"", info=BINARY)
    (tmp_path / "x.annotation~").unlink()
    with pytest.raises(DataFormatError, match="got none"):
        annotations.read_annotation(path)


@pytest.mark.skipif(
    not SAMPLES, reason="DAMAMBA_SSI_SAMPLES names no folder with real SSI files"
)
def test_real_files():
    read = annotations.read_annotation(Path(SAMPLES) / "movement.annotation")
    assert read.id.shape == (50,) and read.meta == {"annotator": "Unknown"}
    assert (read.start[0], read.stop[0], read.id[0]) == (2.14, 2.78, 0)
    template = annotations.read_annotation(Path(SAMPLES) / "scheme_arousal.annotation")
    assert (template.minimum, template.maximum, len(template.score)) == (-1.0, 1.0, 0)
