"""Sessions of every released layout, written here, and found again."""

import dataclasses
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import rates, releases, sessions
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.formats import ssi
from damamba_jax.errors import CorpusError, DataFormatError
from damamba_jax.schema.release import RELEASED_FEATURES

SECONDS = 8

FEATURES = tuple(
    dataclasses.replace(feature, dim=3, drop_columns=())
    for feature in RELEASED_FEATURES.values()
    if feature.name in ("egemaps", "w2vbert2", "clip", "openpose", "xlm_roberta")
)
EGEMAPS, W2VBERT2, XLM, CLIP, OPENPOSE = FEATURES


def write_track(
    folder: Path, role: str, stem: str, *, rate: float = 25.0, header: float = 0.0
) -> None:
    data = np.zeros((round(SECONDS * rate), 3), np.float32)
    ssi.write_stream(folder / f"{role}.{stem}.stream", data, header or rate)


def write_labels(folder: Path, role: str, *, seconds: float = SECONDS) -> None:
    values = np.linspace(0.0, 1.0, round(seconds * 25))
    ssi.write_labels(folder / f"{role}.engagement.annotation.csv", values)


def write_role(folder: Path, role: str, *, labels: bool = True) -> None:
    """One role of a session, named as in the 2025 release."""
    write_track(folder, role, "audio.egemapsv2")
    write_track(folder, role, "audio.w2vbert2_embeddings", header=40.0)
    write_track(folder, role, "audio.xlm_roberta_embeddings", rate=2.0)
    write_track(folder, role, "clip")
    write_track(folder, role, "openpose")
    if labels:
        write_labels(folder, role)


def write_noxi(root: Path, split: str, session: str, *, labels: bool = True) -> Path:
    for role in ("expert", "novice"):
        write_role(root / split / session, role, labels=labels)
    return root / split / session


def find(root: Path, **kwargs) -> sessions.CorpusIndex:
    return corpus_index.index(root, **{"features": FEATURES, **kwargs})


def test_noxi(tmp_path, caplog):
    write_noxi(tmp_path, "train", "003")
    folder = write_noxi(tmp_path, "train", "001")
    write_noxi(tmp_path, "val", "007")
    write_noxi(tmp_path, "test-base", "020", labels=False)
    (folder / "language.annotation.csv").write_bytes(b"0;8;Fran\xe7ais;1\r\n")
    with caplog.at_level(logging.WARNING):
        found = find(tmp_path)
    assert found.problems == () and not found.simulated
    assert [(s.split, s.id) for s in found.sessions] == [
        ("noxi/train", "001"),
        ("noxi/train", "003"),
        ("noxi/val", "007"),
        ("noxi/test-base", "020"),
    ]
    session = found.split("noxi/train")[0]
    assert session.corpus == "noxi" and session.language == "Français"
    assert (session.duration, session.label_rate) == (SECONDS, 25.0)
    assert [p.role for p in session.participants] == ["expert", "novice"]
    tracks = session.participants[0].tracks
    assert list(tracks) == [feature.name for feature in FEATURES]
    # The header's 40 Hz is wrong, xlm's 2 Hz is right.
    assert {name: track.rate for name, track in tracks.items()} == {
        "egemaps": 25.0, "w2vbert2": 25.0, "xlm_roberta": 2.0, "clip": 25.0,
        "openpose": 25.0,
    }  # fmt: skip
    assert tracks["w2vbert2"].header_rate == 40.0
    assert "w2vbert2 has sr=40" in caplog.text
    stream = tracks["w2vbert2"].open()
    assert stream.sample_rate == 25.0 and stream.data.shape == (SECONDS * 25, 3)
    assert session.participants[0].labels().shape == (SECONDS * 25,)
    unlabelled = found.split("noxi/test-base")[0]
    assert unlabelled.duration == SECONDS and unlabelled.language is None
    assert unlabelled.participants[0].tracks["w2vbert2"].rate == 25.0
    with pytest.raises(ValueError, match="has no annotation"):
        unlabelled.participants[0].labels()


@pytest.mark.parametrize(
    "parts", [["NoXi", "Train"], ["noxi", "TRAIN"], ["x", "train"]]
)
def test_folders_in_any_case(tmp_path, parts):
    write_noxi(tmp_path / parts[0], parts[1], "001")
    root = tmp_path / "x" if parts[0] == "x" else tmp_path
    assert len(find(root).split("noxi/train")) == 1


def test_names_of_the_2024_release(tmp_path):
    for role in ("expert", "novice"):
        for stem in ("video.clip", "video.openpose", "audio.egemapsv2"):
            write_track(tmp_path / "val" / "007", role, stem)
        # Both names: the first alias counts.
        write_track(tmp_path / "val" / "007", role, "clip", rate=30.0)
        write_labels(tmp_path / "val" / "007", role)
    found = find(tmp_path, features=(CLIP, OPENPOSE, EGEMAPS))
    tracks = found.sessions[0].participants[0].tracks
    assert tracks["clip"].rate == 30.0
    assert tracks["openpose"].path.name == "expert.video.openpose.stream"
    assert found.problems == ()


def test_only_the_mislabelled_stream_is_wanted(tmp_path):
    """Without labels, streams that nobody asked for tell the duration."""
    write_noxi(tmp_path, "test-base", "001", labels=False)
    found = find(tmp_path, features=(W2VBERT2,))
    assert found.sessions[0].participants[0].tracks["w2vbert2"].rate == 25.0


def write_mpiigi(root: Path, split: str, session: str, *, seats: str) -> None:
    """A session whose fourth seat has visual streams although it may be empty."""
    for seat in "1234":
        folder = root / split / f"precomputed-features-{split}" / session
        role = f"subjectPos{seat}"
        if seat in seats:
            write_role(folder, role, labels=False)
        elif seat == "4":
            write_track(folder, role, "clip")
            write_track(folder, role, "openpose")
        write_track(folder, "s", "clip")
        if split == "val" and seat in seats:
            labels = root / split / f"engagement-annotations-{split}" / session
            write_labels(labels, role)


@pytest.mark.parametrize("name", ["mpiigroupinteraction", "mpii/MultiMediate25"])
def test_mpiigroupinteraction(tmp_path, name):
    write_mpiigi(tmp_path / name, "val", "008", seats="1234")
    write_mpiigi(tmp_path / name, "val", "026", seats="234")
    write_mpiigi(tmp_path / name, "test", "001", seats="123")
    for root in (tmp_path, tmp_path / name):
        found = find(root)
        seats = {s.id: [p.role[-1] for p in s.participants] for s in found.sessions}
        assert seats == {"008": [*"1234"], "026": [*"234"], "001": [*"123"]}
        assert [s.split.split("/")[1] for s in found.sessions] == ["val", "val", "test"]
        assert found.sessions[0].corpus == "mpiigroupinteraction"
        assert all(p.labels().size for p in found.sessions[1].participants)
        assert found.problems == (
            "mpiigroupinteraction/test/001 subjectPos4: has 2 streams, but neither "
            "audio nor label: the seat was empty.",
        )


def test_flat_mpiigroupinteraction_with_visual_streams_only(tmp_path):
    folder = tmp_path / "mpiigroupinteraction" / "test" / "002"
    for seat in "123":
        write_track(folder, f"subjectPos{seat}", "clip")
    (folder / "subjectPos1.wav").write_bytes(b"RIFF")
    (folder / "subjectPos2.audio.wav").write_bytes(b"RIFF")
    found = find(tmp_path, features=(CLIP,))
    assert [p.role[-1] for p in found.sessions[0].participants] == ["1", "2"]
    for path in folder.glob("*.wav"):
        path.unlink()
    found = find(tmp_path, features=(CLIP,))
    assert len(found.sessions[0].participants) == 3
    assert "neither audio nor labels tell" in found.problems[0]


def test_several_corpora_below_one_root(tmp_path):
    write_noxi(tmp_path / "noxi", "train", "001")
    write_mpiigi(tmp_path / "mpiigroupinteraction", "val", "008", seats="1234")
    (tmp_path / "pinsoro").mkdir()
    found = find(tmp_path, scale=Scale())
    assert {s.corpus for s in found.sessions} == {"noxi", "mpiigroupinteraction"}
    assert [p for p in found.problems if "pinsoro: this corpus is not read" in p]


def test_labels_in_a_root_of_their_own(tmp_path):
    features, labels = tmp_path / "features", tmp_path / "engagement-mm26-test"
    write_noxi(features / "noxi", "test-base", "001", labels=False)
    write_mpiigi(features / "mpii" / "MultiMediate25", "test", "002", seats="12")
    write_labels(labels / "noxi" / "test-base" / "001", "expert")
    for seat in "12":
        folder = labels / "mpiigroupinteraction" / "test" / "002"
        write_labels(folder, f"subjectPos{seat}")
    found = find(features, labels_root=labels)
    noxi = found.split("noxi/test-base")[0]
    assert noxi.participants[0].labels_path.is_relative_to(labels)
    assert noxi.participants[1].labels_path is None
    assert [p for p in found.problems if "noxi/test-base/001 novice: no label" in p]
    group = found.split("mpiigroupinteraction/test")[0]
    assert all(p.num_labels == SECONDS * 25 for p in group.participants)
    empty = tmp_path / "empty"
    empty.mkdir()
    found = find(features, labels_root=empty)
    assert [p for p in found.problems if f"{empty}: no label file" in p]


def test_decoys_are_ignored(tmp_path):
    folder = write_noxi(tmp_path, "train", "001")
    (folder / "expert.engagement.annotation.csv").unlink()
    (folder / "expert.engagement.1.annotation.csv").write_text("0.5\n")
    (folder / "expert.engagement.annotation.csv.bak").write_text("0.5\n")
    (folder / "expert.engagement.annotation.1.annotation.csv").write_text("0.5\n")
    for role in ("s", "env", "expertise"):
        write_track(folder, role, "clip")
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "notes.txt").write_text("")
    (session,) = find(tmp_path).sessions
    assert [p.role for p in session.participants] == ["expert", "novice"]
    assert session.participants[0].labels_path is None


def test_pipes_are_not_waited_for(tmp_path):
    folder = write_noxi(tmp_path, "train", "001")
    for name in ("expert.clip.stream", "expert.engagement.annotation.csv"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    (session,) = find(tmp_path).sessions
    assert "clip" not in session.participants[0].tracks
    assert session.participants[0].labels_path is None


def test_what_is_missing_names_session_role_and_file(tmp_path):
    folder = write_noxi(tmp_path, "train", "001")
    write_noxi(tmp_path, "train", "003")
    (folder / "novice.clip.stream").unlink()
    (folder / "expert.openpose.stream~").write_bytes(b"")
    (folder / "novice.engagement.annotation.csv").unlink()
    (tmp_path / "train" / "003" / "expert.engagement.annotation.csv").write_text("")
    for path in (tmp_path / "train" / "003").glob("novice.*"):
        path.unlink()
    write_labels(tmp_path / "train" / "004", "expert")
    found = find(tmp_path)
    assert set(found.problems) == {
        "noxi/train/001 novice: no file for clip, expected "
        "novice.{clip,video.clip}.stream.",
        f"noxi/train/001 expert: {folder}/expert.openpose.stream has no frames.",
        "noxi/train/001 novice: no label file "
        "train/001/novice.engagement.annotation.csv.",
        f"noxi/train/003 expert: {tmp_path}/train/003/"
        "expert.engagement.annotation.csv is empty.",
        "noxi/train/003 novice: no file at all.",
        "noxi/train/004: has labels, but no stream, and is ignored.",
    }
    assert "clip" not in found.sessions[0].participants[1].tracks
    assert [p.role for p in found.sessions[1].participants] == ["expert"]


def test_what_holds_for_everybody_takes_one_line(tmp_path):
    for session in ("001", "003"):
        write_noxi(tmp_path, "train", session, labels=False)
    dino = dataclasses.replace(RELEASED_FEATURES["dino"], dim=3)
    found = find(tmp_path, features=(CLIP, dino))
    assert len(found.problems) == 2
    assert all(p.startswith("noxi/train: all 4 people, as") for p in found.problems)


def test_width_on_disk_must_be_the_feature_s(tmp_path):
    write_noxi(tmp_path, "train", "001")
    wide = dataclasses.replace(OPENPOSE, dim=139)
    with pytest.raises(DataFormatError, match=r"openpose.stream.*139 columns.*got 3"):
        find(tmp_path, features=(wide,))
    found = find(tmp_path, features=(wide,), strict=False)
    assert found.sessions[0].participants[0].tracks["openpose"].feature.dim == 3
    assert "has 3 columns, expected 139" in found.problems[0]


def test_malformed_streams(tmp_path):
    folder = write_noxi(tmp_path, "train", "001")
    (folder / "expert.clip.stream").write_text("<stream>")
    (folder / "novice.clip.stream~").unlink()
    with pytest.raises(DataFormatError, match="expert.clip.stream"):
        find(tmp_path)
    found = find(tmp_path, strict=False)
    assert len(found.problems) == 2
    assert all("clip" not in p.tracks for p in found.sessions[0].participants)


def test_a_replaced_file_is_noticed(tmp_path):
    folder = write_noxi(tmp_path, "train", "001")
    track = find(tmp_path).sessions[0].participants[0].tracks["clip"]
    ssi.write_stream(folder / "expert.clip.stream", np.zeros((5, 3), np.float32), 25.0)
    with pytest.raises(DataFormatError, match=r"\[200, 3\], as indexed.*got \[5, 3\]"):
        track.open()


def test_ascii_with_a_wrong_count_opens_as_it_was_indexed(tmp_path):
    folder = write_noxi(tmp_path, "train", "001")
    path = folder / "expert.clip.stream"
    ssi.write_stream(path, np.zeros((200, 3), np.float32), 25.0, ftype="ASCII")
    path.write_text(path.read_text().replace('num="200"', 'num="999"'))
    track = find(tmp_path).sessions[0].participants[0].tracks["clip"]
    assert track.open(tmp_path / "cache").data.shape == (200, 3)


def test_labels_that_are_cut_short_do_not_bend_the_rates(tmp_path):
    folder = write_noxi(tmp_path, "train", "001")
    write_labels(folder, "expert", seconds=1.24)
    write_labels(folder, "novice", seconds=1.24)
    found = find(tmp_path, features=(EGEMAPS, CLIP, OPENPOSE))
    session = found.sessions[0]
    assert session.duration == SECONDS
    assert {t.rate for p in session.participants for t in p.tracks.values()} == {25.0}
    assert "labels cover 1.2 s, the streams 8.0 s" in found.problems[0]


def test_interrupted_streams_keep_their_rate(tmp_path):
    folder = write_noxi(tmp_path, "train", "001")
    valid = np.ones(400, bool)
    valid[50:90] = False
    data = np.zeros((400, 3), np.float32)
    ssi.write_stream(folder / "expert.clip.stream", data, 25.0, valid=valid)
    found = find(tmp_path)
    track = found.sessions[0].participants[0].tracks["clip"]
    assert track.rate == 25.0 and track.num_frames == 400
    np.testing.assert_array_equal(track.open().valid, valid)
    # The others are half as long.
    assert all("stops after 8.0 of 16.0 s" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("num_frames", "header", "duration", "expected"),
    [
        (15000, 40.0, 600.0, 25.0),
        (14800, 40.0, 600.0, 25.0),
        (14300, 25.0, 600.0, 25.0),
        (1200, 2.0, 600.0, 2.0),
        (1200, 25.0, 600.0, 2.0),
        (18000, 25.0, 600.0, 30.0),
        (12000, 40.0, 600.0, 40.0),
        (12000, 50.0, 600.0, 50.0),
        (15000, 50.0, 600.0, 50.0),
        (600, 2.0, 600.0, 2.0),
        (30000, 25.0, 600.0, 50.0),
        (15000, 0.0, 600.0, 25.0),
        (15000, 40.0, None, 40.0),
        (15000, 0.0, None, 50.0),
    ],
)
def test_rates(num_frames, header, duration, expected):
    rate = rates.repair_rate(num_frames, header, duration=duration, nominal=50.0)
    assert rate == expected


@pytest.mark.parametrize(
    ("labels", "streams", "expected"),
    [
        ([600.0], {"w2v": (15000, 40.0)}, 600.0),
        ([0.0, 610.0], {"clip": (15000, 25.0)}, 610.0),
        ([], {"w2v": (15000, 40.0), "openpose": (15000, 25.0)}, 600.0),
        ([], {"w2v": (15000, 40.0), "clip": (15000, 25.0)}, 600.0),
        ([], {"clip": (15000, 0.0)}, None),
        ([], {}, None),
        ([100.0, 600.0], {"w2v": (15000, 40.0), "clip": (15000, 25.0)}, 600.0),
        ([110.0], {"clip": (15000, 25.0), "dino": (15000, 25.0)}, 600.0),
        ([110.0], {"clip": (15000, 25.0)}, 110.0),
    ],
)
def test_reference_durations(labels, streams, expected):
    assert rates.reference_duration(labels, streams) == expected


@pytest.mark.parametrize(
    ("streams", "label_seconds", "expected"),
    [
        # nominal rate, header's rate, seconds on disk, recorded rate
        ({"egemaps": (50, 50, 60, 50), "clip": (25, 25, 30, 25)}, 60, [50, 25]),
        ({"egemaps": (50, 50, 60, 50), "clip": (30, 30, 50, 30)}, 60, [50, 30]),
        ({"egemaps": (50, 50, 60, 50)}, 30, [50]),
        ({"egemaps": (25, 40, 60, 25), "clip": (25, 25, 60, 25)}, 60, [25, 25]),
        ({"egemaps": (25, 2, 60, 2), "clip": (25, 25, 60, 25)}, 60, [2, 25]),
    ],
)
def test_what_stops_early_has_no_other_rate(tmp_path, streams, label_seconds, expected):
    features = []
    for name, (nominal, header, seconds, rate) in streams.items():
        feature = next(f for f in FEATURES if f.name == name)
        features.append(dataclasses.replace(feature, rate=float(nominal)))
        data = np.ones((seconds * rate, 3), np.float32)
        path = tmp_path / "train" / "1" / f"expert.{feature.stems[0]}.stream"
        ssi.write_stream(path, data, float(header))
    write_labels(tmp_path / "train" / "1", "expert", seconds=label_seconds)
    found = find(tmp_path, features=features)
    tracks = found.sessions[0].participants[0].tracks
    assert [track.rate for track in tracks.values()] == expected
    # The duration is that of the longest.
    short = [n for n, (_, _, seconds, _) in streams.items() if seconds < 60]
    assert [n for n, track in tracks.items() if track.stops_early] == short
    for name in short:
        assert any(f"{name} stops after" in problem for problem in found.problems)


CUSTOM = LayoutConfig(
    name="mine",
    splits=("day1", "day2"),
    roles=("a", "b", "a2"),
    feature_path="{split}/{role}/talk_{session}.{stem}.stream",
    label_path="scores/{split}-{session}-{role}.txt",
    label_rate=10.0,
)
POSE = FeatureConfig(name="pose", dim=3, group="visual", rate=25.0, stems=("pose",))


def test_custom_layout(tmp_path):
    for role in ("a", "a2"):
        write_track(tmp_path / "day1" / role, "talk_7", "Pose")
        path = tmp_path / "scores" / f"day1-7-{role}.txt"
        ssi.write_labels(path, np.full(SECONDS * 10, 0.5))
    found = find(tmp_path, features=(POSE,), layout=CUSTOM)
    (session,) = found.split("mine/day1")
    assert (session.corpus, session.id, session.duration) == ("mine", "7", SECONDS)
    assert [p.role for p in session.participants] == ["a", "a2"]
    assert session.participants[1].num_labels == SECONDS * 10
    assert found.problems == ("mine/day1/7 b: no file at all.",)
    with pytest.raises(CorpusError, match="'mine/day2' is empty: expected day2/"):
        found.split("mine/day2")


@pytest.mark.parametrize(
    "pattern",
    [
        "../{split}/{session}/{role}.{stem}.stream",
        "/{split}/{session}/{role}.{stem}.stream",
        "{split}/{session}/../{role}.{stem}.stream",
        "{split}/{session}/{role}.stream",
        "{session}/{role}.{stem}.stream",
        "{split}/{session}/{role}.{stem}.{kind}",
        "{split}/{session}/{role.__class__}.{stem}",
        "{split}/{session}/{role}.{stem",
        "{split}\\{session}\\{role}.{stem}",
    ],
)
def test_patterns_that_leave_the_root_or_lack_a_field(tmp_path, pattern):
    layout = dataclasses.replace(CUSTOM, feature_path=pattern)
    with pytest.raises(ValueError, match="`layout.feature_path`: expected"):
        find(tmp_path, features=(POSE,), layout=layout)


def test_links_out_of_the_root_are_not_followed(tmp_path):
    outside = write_noxi(tmp_path / "outside", "train", "001")
    root = tmp_path / "root"
    inside = write_noxi(root, "train", "002")
    os.symlink(outside, root / "train" / "001")
    os.symlink(inside, root / "train" / "003")
    (inside / "expert.clip.stream~").unlink()
    os.symlink(outside / "expert.clip.stream~", inside / "expert.clip.stream~")
    found = find(root, strict=False)
    assert [s.id for s in found.sessions] == ["002", "003"]
    assert [p for p in found.problems if "train/001: is a link out of" in p]
    assert [p for p in found.problems if "expert.clip.stream: `data`" in p]
    assert "clip" not in found.sessions[0].participants[0].tracks
    # The root itself may be a link.
    os.symlink(root, tmp_path / "link")
    assert len(find(tmp_path / "link", strict=False).sessions) == 2


def test_simulated_corpora_say_so(tmp_path):
    write_noxi(tmp_path / "noxi", "train", "001")
    assert not find(tmp_path).simulated
    (tmp_path / "simulated.json").write_text("{}")
    assert find(tmp_path).simulated and find(tmp_path / "noxi").simulated


def test_roots_that_are_no_corpus(tmp_path):
    (tmp_path / "file").write_text("")
    for root in ("", tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(CorpusError, match="`data.root`: expected a folder"):
            find(root)
    with pytest.raises(CorpusError, match=r"with file\. Looked for\n  noxi/train"):
        find(tmp_path)
    with pytest.raises(CorpusError, match="`data.labels_root`"):
        find(tmp_path, labels_root=tmp_path / "missing")
    (tmp_path / "Pinsoro").mkdir()
    with pytest.raises(CorpusError, match="Pinsoro, whose annotations are of another"):
        find(tmp_path / "Pinsoro", scale=Scale())


def test_splits_that_do_not_exist(tmp_path):
    write_noxi(tmp_path, "train", "001")
    found = find(tmp_path)
    with pytest.raises(CorpusError) as error:
        found.split("noxi/val")
    assert f"val/{{session}}/{{role}}.{{stem}}.stream below {tmp_path}" in str(
        error.value
    )
    assert "Splits with sessions: noxi/train" in str(error.value)
    with pytest.raises(CorpusError, match="'train'; did you mean 'noxi/train'"):
        found.split("train")


def test_released_features():
    table = RELEASED_FEATURES
    assert {name: feature.dim for name, feature in table.items()} == {
        "egemaps": 88, "w2vbert2": 1024, "xlm_roberta": 768, "clip": 512,
        "openface2": 714, "openpose": 139, "openface3": 21, "dino": 768, "swin": 768,
        "videomae": 1408,
    }  # fmt: skip
    stems = [stem for feature in table.values() for stem in feature.stems]
    assert len(stems) == len(set(stems))
    for release in releases.RELEASES:
        for layout in release.layouts:
            releases.custom_release(layout, FEATURES)
