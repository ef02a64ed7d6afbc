"""Who was recorded, and in which file."""

import logging
from pathlib import Path

import pytest

from damamba_jax.data.extraction.sources import find_people
from damamba_jax.errors import CorpusError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(root):
    """Session and role of each person, and the names of their files."""
    return {
        f"{p.folder.as_posix()} {p.role}": (
            p.sound and p.sound.name, p.video and p.video.name
        )
        for p in find_people(root)
    }  # fmt: skip


def test_sessions_and_roles_of_a_corpus(tmp_path):
    touch(
        tmp_path, "train/001/expert.audio.wav", "train/001/expert.video.mp4",
        "train/001/novice.MP4", "val/002/expert.wav", "val/002/notes.txt",
        "val/002/.hidden.wav", ".trash/003/a.wav",
        "val/originalAudioVideo-val/008/subjectPos1.wav",
    )  # fmt: skip
    assert found(tmp_path) == {
        "train/001 expert": ("expert.audio.wav", "expert.video.mp4"),
        "train/001 novice": (None, "novice.MP4"),
        "val/002 expert": ("expert.wav", None),
        "val/008 subjectPos1": ("subjectPos1.wav", None),
    }


@pytest.mark.parametrize("below", ["", "ann.wav"])
def test_a_session_or_a_file_is_named_by_its_folder(tmp_path, below):
    touch(tmp_path / "monday", "ann.wav")
    assert found(tmp_path / "monday" / below) == {"monday ann": ("ann.wav", None)}


def test_sound_comes_from_the_video_where_it_has_no_file(tmp_path):
    touch(tmp_path, "s/ann.mp4", "s/bob.mp4", "s/bob.wav", "s/eve.wav")
    ann, bob, eve = find_people(tmp_path)
    assert ann.source("sound") == ann.source("video") == ann.video
    assert bob.source("sound") == bob.sound and bob.source("video") == bob.video
    assert eve.source("video") is None


def test_a_second_file_of_a_kind_is_said(tmp_path, caplog):
    touch(tmp_path, "s/ann.flac", "s/ann.wav")
    with caplog.at_level(logging.WARNING, "damamba_jax"):
        assert found(tmp_path) == {"s ann": ("ann.flac", None)}
    assert "ann.wav: it is left out, because ann.flac is read" in caplog.text


def test_links_out_of_the_input_are_not_read(tmp_path, caplog):
    touch(tmp_path, "elsewhere/eve.wav", "corpus/s/ann.wav")
    (tmp_path / "corpus/s/bob.wav").symlink_to(tmp_path / "elsewhere/eve.wav")
    (tmp_path / "corpus/t").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "corpus/s/max.wav").symlink_to("ann.wav")
    with caplog.at_level(logging.WARNING, "damamba_jax"):
        assert set(found(tmp_path / "corpus")) == {"s ann", "s max"}
    assert "bob.wav: is a link out of" in caplog.text


def test_nobody_is_an_error(tmp_path):
    touch(tmp_path, "s/notes.txt")
    with pytest.raises(CorpusError, match="expected recordings such as SESSION/ROLE"):
        find_people(tmp_path)
    with pytest.raises(FileNotFoundError):
        find_people(Path(tmp_path, "nothing"))
