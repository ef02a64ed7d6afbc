"""The bounds of the list of files below a folder."""

import pytest

from damamba_jax.data.corpus import look


@pytest.fixture
def write(tmp_path):
    def write(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        return look.look(tmp_path)

    return write


def test_a_folder_may_hold_as_many_names_as_are_listed(write, monkeypatch):
    monkeypatch.setattr(look, "MAX_IN_FOLDER", 3)
    seen = write("a", "b", "c")
    assert len(seen.files) == 3 and not seen.notes
    seen = write("d")
    assert len(seen.files) == 3
    assert seen.notes[-1].endswith("more than 3 in one folder: not all were looked at.")


def test_all_folders_together_may_hold_as_many_names_as_are_listed(write, monkeypatch):
    monkeypatch.setattr(look, "MAX_ENTRIES", 5)
    # The folders count as well.
    seen = write("one/a", "one/b", "two/a")
    assert len(seen.files) == 3 and not seen.notes
    seen = write("two/b")
    assert len(seen.files) == 3
    assert seen.notes[-1].startswith("There are more than 5 names")
