"""Streams that are written a few rows at a time."""

import numpy as np
import pytest

from damamba_jax.data.formats import ssi
from damamba_jax.data.formats.stream_rows import read_notes, write_rows


def test_blocks_become_one_stream(tmp_path):
    path = tmp_path / "a.voice.stream"
    rows = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    notes = {"made_by": "a test", "source": 'quotes " and <tags> & more'}
    num = write_rows(path, np.split(rows, [1, 1, 60]), 25.0, dim=3, notes=notes)
    stream = ssi.read_stream(path)
    np.testing.assert_array_equal(stream.data, rows)
    assert (num, stream.sample_rate, stream.valid) == (100, 25.0, None)
    assert read_notes(path) == notes


def test_other_streams_have_no_notes(tmp_path):
    path = tmp_path / "a.voice.stream"
    ssi.write_stream(path, np.zeros((3, 2), np.float32), 25.0)
    assert read_notes(path) == {}
    path.write_text(path.read_text().replace("<meta />", ""))
    assert read_notes(path) == {}


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.voice.stream"
    write_rows(path, [np.ones((2, 2))], 25.0, dim=2, notes={"n": "1"})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def blocks():
        yield np.zeros((5, 2))
        raise RuntimeError("the recording ends here")

    with pytest.raises(RuntimeError):
        write_rows(path, blocks(), 25.0, dim=2, notes={"n": "2"})
    with pytest.raises(ValueError, match=r"expected \[rows, 2\], got \[1, 3\]"):
        write_rows(path, [np.zeros((1, 3))], 25.0, dim=2, notes={})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
