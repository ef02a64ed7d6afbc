"""Files appear whole or not at all; text is UTF-8, JSON is strict."""

import pytest

from damamba_jax import files


def test_a_reader_sees_the_old_file_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "folder" / "value.txt"
    files.write_text(path, "old")
    with files.replace_file(path) as file:
        file.write(b"new")
        file.flush()
        assert files.read_text(path) == "old"
    assert files.read_text(path) == "new"
    assert list(path.parent.iterdir()) == [path]


def test_what_fails_leaves_nothing_behind(tmp_path):
    path = tmp_path / "value.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="half-way"):
        with files.replace_path(path) as part:
            part.write_bytes(b"ne")
            raise RuntimeError("half-way")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf_8_and_json_strict(tmp_path):
    path = tmp_path / "value.json"
    files.write_json(path, {"name": "Zoë", "value": 0.5})
    assert files.read_json(path) == {"name": "Zoë", "value": 0.5}
    files.write_text(path, "Zoë")
    assert path.read_bytes() == "Zoë".encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, float("nan"))
    assert files.read_text(path) == "Zoë"


@pytest.mark.parametrize(
    "name", ["n" * 250, "会" * 100, "a\nb", "\x1b[31m", "\udcff\udcfe", "é" * 160]
)
def test_names_from_disk_fit_into_names_of_files(name, tmp_path):
    short = files.short_name(name)
    files.write_text(tmp_path / f"split.{short}.timeline.png", "x")
    assert short.isprintable() and short != files.short_name(name + "2")
    assert files.short_name("plain name $1") == "plain name $1"
