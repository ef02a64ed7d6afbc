"""Files of a cache that are damaged or may not be read are made anew."""

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from damamba_jax.data.formats import binary_cache, ssi
from damamba_jax.data.formats.binary_cache import cached_array
from damamba_jax.data.simulated import write as simulated_write
from damamba_jax.files import keep_file, read_kept

SHAPE, DTYPE = (50, 3), np.dtype("<f4")


@pytest.fixture
def array(tmp_path):
    """Returns the array through the cache; counts how often it was computed."""
    path = tmp_path / "cache" / "a.npy"

    def load():
        def fill(data):
            load.filled += 1
            data[:] = np.arange(150, dtype=DTYPE).reshape(SHAPE)

        return cached_array(path, SHAPE, DTYPE, fill)

    load.filled, load.path = 0, path
    return load


def refuse(monkeypatch, owner, name, number, when):
    original = getattr(owner, name)

    def refused(path, *args, **options):
        if when(Path(path)):
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *args, **options)

    monkeypatch.setattr(owner, name, refused)


def test_it_is_computed_once_and_mapped(array):
    first, second = array(), array()
    assert array.filled == 1 and isinstance(second, np.memmap)
    np.testing.assert_array_equal(first, second)
    assert not second.flags.writeable


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[:5],
        lambda raw: raw[:200],
        lambda raw: raw[:-1],
        lambda raw: b"garbage" * 100,
        lambda raw: raw.replace(b"'<f4'", b"'<i4'"),
        lambda raw: raw.replace(b"(50, 3)", b"(75, 2)"),
        lambda raw: raw.replace(b"'descr'", b"'dexcr'"),
    ],
    ids=["empty", "magic", "header", "last-byte", "text", "type", "shape", "field"],
)
def test_a_damaged_file_is_made_anew_with_one_line(array, caplog, damage):
    whole = np.array(array())
    raw = array.path.read_bytes()
    array.path.write_bytes(damage(raw))
    np.testing.assert_array_equal(array(), whole)
    assert array.filled == 2 and array.path.read_bytes() == raw
    (record,) = caplog.records
    assert str(array.path) in record.getMessage() and "made anew" in caplog.text


def test_a_file_that_may_not_be_read_is_made_anew(array, monkeypatch, caplog):
    whole = np.array(array())
    broken = [True]

    def when(path):
        return path == array.path and broken and broken.pop()

    refuse(monkeypatch, np.lib.format, "open_memmap", errno.EACCES, when)
    np.testing.assert_array_equal(array(), whole)
    assert array.filled == 2 and "Permission denied" in caplog.text


def test_a_folder_that_refuses_leaves_it_in_memory(array, monkeypatch, caplog):
    refuse(monkeypatch, binary_cache, "replace_path", errno.EROFS, lambda path: True)
    found = array()
    assert found[-1, -1] == 149 and not found.flags.writeable
    assert "kept in memory alone" in caplog.text and not array.path.exists()


def test_a_full_disk_is_said(array, monkeypatch):
    refuse(monkeypatch, binary_cache, "replace_path", errno.ENOSPC, lambda path: True)
    with pytest.raises(OSError, match="No space left"):
        array()


def test_copies_of_slow_streams_are_made_anew(tmp_path, caplog):
    data = np.arange(40, dtype=np.float32).reshape(20, 2)
    ssi.write_stream(tmp_path / "a.stream", data, 25.0, ftype="ASCII")
    cache = tmp_path / "cache"
    ssi.read_stream(tmp_path / "a.stream", cache_dir=cache)
    (copy,) = cache.rglob("*.npy")
    copy.write_bytes(copy.read_bytes()[:100])
    again = ssi.read_stream(tmp_path / "a.stream", cache_dir=cache)
    np.testing.assert_array_equal(again.data, data)
    assert "made anew" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", None])
def test_a_simulated_corpus_without_its_last_file_is_written_anew(
    tmp_path, caplog, damage
):
    root = simulated_write.ensure_corpus("tiny", tmp_path)
    (marker,) = root.glob("*.json")
    text = marker.read_bytes()
    stream = next(root.rglob("*.stream"))
    stream.unlink()
    marker.unlink() if damage is None else marker.write_bytes(damage)
    assert simulated_write.ensure_corpus("tiny", tmp_path) == root
    assert marker.read_bytes() == text and stream.is_file()
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_files_of_any_kind_are_read_or_named_in_the_log(tmp_path, caplog):
    log = logging.getLogger("damamba_jax.test")
    path = tmp_path / "new" / "a"
    assert read_kept(path, Path.read_text, log) is None and not caplog.records
    keep_file(path, lambda file: file.write(b"text"), log)
    assert read_kept(path, Path.read_text, log) == "text" and not caplog.records
    path.write_bytes(b"\xff")
    assert read_kept(path, Path.read_text, log) is None
    assert "a: damaged or not readable" in caplog.text
    (tmp_path / "file").write_text("")
    keep_file(tmp_path / "file" / "a", lambda file: file.write(b"text"), log)
    assert "not kept" in caplog.text
