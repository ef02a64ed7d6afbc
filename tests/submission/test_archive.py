"""What is written is accepted, and holds one line for every frame."""

import dataclasses
import zipfile

import numpy as np
import pytest
from sets import FRAMES, people, predictions

from damamba_jax.errors import CorpusError
from damamba_jax.submission.archive import fill, write_archive
from damamba_jax.submission.check import check_archive
from damamba_jax.submission.predictions import join_predictions, read_predictions
from damamba_jax.submission.profiles import PROFILES, SETS

NAN = float("nan")


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_written_is_accepted(tmp_path, name):
    path, profile = tmp_path / "a.zip", PROFILES[name]
    written = write_archive(path, predictions(tmp_path), profile)
    report = check_archive(path, profile)
    assert report.problems == () and report.lines() == []
    assert (written.clipped, written.filled, written.cut) == (0, 0, 0)
    assert len(report.rows) == len(profile.sets)
    for other in PROFILES.values():
        if other.name != name:
            assert check_archive(path, other).problems


def test_names():
    names = {}
    for profile in PROFILES.values():
        last = profile.sets[-1]
        role, session = last.roles[0], "002"
        names[profile.name] = [
            profile.path(last, session, role, annotation)
            for annotation in last.annotations
        ]
    assert names == {
        "mm24": ["mpiigroupinteraction/002/subjectPos1.engagement.annotation.csv"],
        "mm26": [
            "pinsoro-cr/002/purple.task_engagement.prediction.csv",
            "pinsoro-cr/002/purple.social_engagement.prediction.csv",
        ],
        "mm26-script4": [
            "pinsoro-cr/002/purple.task_engagement.engagement.prediction.csv",
            "pinsoro-cr/002/purple.social_engagement.engagement.prediction.csv",
        ],
        "mm26-script5": [
            "pinsoro-cr/002/purple.task_engagement.pred.csv",
            "pinsoro-cr/002/purple.social_engagement.pred.csv",
        ],
    }
    noxi = [
        PROFILES[name].path(SETS[0], "003", "expert", "engagement") for name in PROFILES
    ]
    assert noxi == [
        "noxi-base/003/expert.engagement.annotation.csv",
        "noxi-base/003/expert.engagement.prediction.csv",
        "noxi-base/003/expert.engagement.prediction.csv",
        "noxi-base/003/expert.engagement.pred.csv",
    ]


def test_counts_of_the_challenge():
    assert [len(people(one)) for one in SETS] == [32, 24, 20, 23, 12, 6]
    assert [one.people for one in SETS] == [32, 24, 20, 23, 12, 6]
    assert [one.sessions for one in SETS] == [16, 12, 10, 6, 6, 6]


def lines(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode().splitlines()


def test_values_are_clipped_filled_and_said(tmp_path):
    first, *others = predictions(tmp_path)
    odd = np.array([NAN, -0.25, NAN, 0.75, 1.5, NAN])
    changed = dataclasses.replace(first, values=odd)
    frames = {(first.part.split, first.session, first.role): 8}
    path, profile = tmp_path / "a.zip", PROFILES["mm26"]
    written = write_archive(path, [changed, *others], profile, frames=frames)
    assert (written.clipped, written.filled, written.cut) == (2, 5, 0)
    assert "2 values were clipped" in str(written)
    name = "noxi-base/001/expert.engagement.prediction.csv"
    assert lines(path, name) == [
        "0.000000", "0.000000", "0.250000", "0.750000", *["1.000000"] * 4,
    ]  # fmt: skip
    frames[next(iter(frames))] = 4
    write_archive(path, [changed, *others], profile, frames=frames)
    assert len(lines(path, name)) == 4


def test_classes_are_filled_with_the_nearest():
    values = np.array([NAN, 2.0, NAN, NAN, 0.0])
    assert fill(values, 7, is_class=True).tolist() == [2, 2, 2, 0, 0, 0, 0]
    assert fill(values, 6).round(2).tolist() == [2, 2, 1.33, 0.67, 0, 0]
    assert str(fill(np.array([-0.0]), 2).clip(0, 1) + 0.0) == "[0. 0.]"


def test_nothing_predicted_at_all(tmp_path):
    first, *others = predictions(tmp_path)
    empty = dataclasses.replace(first, values=np.full(5, NAN))
    with pytest.raises(CorpusError, match="noxi/test-base/001/expert, got none"):
        write_archive(tmp_path / "a.zip", [empty, *others], PROFILES["mm26"])


def test_the_same_predictions_give_the_same_bytes(tmp_path):
    made = predictions(tmp_path)
    for name, found in (("a", made), ("b", made[::-1])):
        write_archive(tmp_path / name, found, PROFILES["mm26"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_unpacked_archive_is_a_folder_of_predictions(tmp_path):
    path, profile = tmp_path / "a.zip", PROFILES["mm26"]
    write_archive(path, predictions(tmp_path), profile)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    found = read_predictions(tmp_path / "unpacked", SETS)
    write_archive(tmp_path / "b.zip", found, profile)
    assert path.read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert len(found[0].values) == FRAMES
    again = read_predictions(tmp_path / "unpacked", SETS)
    with pytest.raises(CorpusError, match="got those of .*unpacked.* and .*unpacked"):
        join_predictions([*found, *again])


def test_folders_of_an_evaluation_s_predictions(tmp_path):
    folder = tmp_path / "predictions" / "noxi" / "test-base" / "003"
    folder.mkdir(parents=True)
    (folder / "expert.engagement.prediction.csv").write_text("0.5\n\n0.25\n")
    (found,) = read_predictions(tmp_path, SETS)
    assert (found.part.split, found.session, found.role) == (
        "noxi/test-base", "003", "expert",
    )  # fmt: skip
    np.testing.assert_array_equal(found.values, [0.5, NAN, 0.25])
    with pytest.raises(CorpusError, match="found none"):
        read_predictions(tmp_path, SETS[1:])


def test_class_files_of_no_known_class(tmp_path):
    folder = tmp_path / "pinsoro-cc" / "001"
    folder.mkdir(parents=True)
    (folder / "purple.task_engagement.csv").write_text("0.5\n")
    with pytest.raises(ValueError, match="classes of task_engagement or classes of"):
        read_predictions(tmp_path, SETS)
