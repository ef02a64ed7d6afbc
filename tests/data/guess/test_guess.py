"""A folder of recordings comes back as the configuration that reads it."""

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import class_forms
import numpy as np
import pytest
from forms import (
    FEATURES,
    LABELS,
    ROLES,
    SESSIONS,
    build,
    elan_text,
    intervals,
    layout,
    leaves,
    lines,
    people,
    streams,
    values,
    write_rows,
)

from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import look
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.formats import ssi
from damamba_jax.data.guess.guess import write_page
from damamba_jax.data.guess.write import Item, assign, quote
from damamba_jax.errors import CorpusError
from damamba_jax.runtime.config_files import load_config

EMOTIONS = (
    "anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral",
)  # fmt: skip


def read(root: Path, preset="tiny"):
    """The configuration that is guessed, and its text."""
    text = write_page(root.resolve())
    file = root.parent / "guessed.py"
    file.write_text(text, encoding="utf-8")
    return from_config_dict(load_config(f"{file}:{preset}")), text


def find(config, **changes):
    data = config.data
    place = dataclasses.replace(data.layout, **changes)
    return corpus_index.index(
        data.root, features=data.features, layout=place, scale=Scale.of(data)
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    root = tmp_path_factory.mktemp("streams")
    features, places = streams(root)
    places |= lines(root)
    found = corpus_index.index(root, features=features, layout=layout(**places))
    return build(found, features, "")


@pytest.mark.parametrize(
    ("features", "labels"),
    [*((f, "lines") for f in FEATURES), *(("streams", name) for name in LABELS)],
)
def test_every_form_comes_back(features, labels, expected, tmp_path):
    """Participants, columns, rates, units and labels give the same batches."""
    root = tmp_path / "corpus"
    (streams if features == "streams" else FEATURES[features])(root)
    LABELS[labels](root)
    config, _ = read(root)
    data = config.data
    assert data.layout and sorted(data.layout.roles) == sorted(ROLES)
    assert {f.name: f.group for f in data.features} == {
        "voice": "audio", "face": "visual",
    }  # fmt: skip
    assert {f.name: f.rate for f in data.features} == {"voice": 50.0, "face": 25.0}
    assert data.num_folds == 2 and data.train_splits == ("mine/all",)
    # Nothing tells in which order people are listed.
    batch, needed = build(find(config, roles=ROLES), data.features, "")
    low, high = data.label_range
    found, wanted = dict(leaves(batch)), dict(leaves(expected[0]))
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        if name == "label":
            value = np.where(wanted["label_valid"], low + value * (high - low), 0)
            wanted[name] = np.where(wanted["label_valid"], wanted[name], 0)
        np.testing.assert_allclose(value, wanted[name], atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(needed, expected[1])


@pytest.mark.parametrize("form", ["csv_per_turn", "npz", "german_csv"])
def test_the_file_is_formatted_like_the_code(form, tmp_path):
    ruff = shutil.which("ruff") or str(Path(os.sys.executable).with_name("ruff"))
    if not Path(ruff).is_file():
        pytest.skip("ruff is not installed")
    root = tmp_path / ("a long name of a folder " * 5)
    FEATURES[form](root)
    lines(root)
    (tmp_path / "guessed.py").write_text(write_page(root))
    config = Path(__file__).parents[3] / "pyproject.toml"
    for command in (["format", "--check", "--diff"], ["check", "--ignore=E501"]):
        done = subprocess.run(
            [ruff, *command, f"--config={config}", "--no-cache", "guessed.py"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_openface_with_elan(tmp_path):
    """OpenFace's own columns, and tiers of two raters for each person."""
    names = ["frame", " face_id", " timestamp", " confidence", " success"]
    names += [f" gaze_{i}_{a}" for i in (0, 1) for a in "xyz"]
    names += [" gaze_angle_x", " gaze_angle_y"]
    names += [f" pose_{k}{a}" for k in "TR" for a in "xyz"]
    units = ("01", "02", "12")
    names += [f" AU{u}_r" for u in units] + [f" AU{u}_c" for u in units]
    for session, role in people():
        rows = [
            (i + 1, 0, round(i / 30, 3), 0.98, 1, *([0.5] * (len(names) - 5)))
            for i in range(240)
        ]
        write_rows(tmp_path / "r" / session / f"{role}_OpenFace.csv", names, rows)
    for session in SESSIONS:
        tiers = {
            f"{role}_{rater}": intervals(session, role)
            for role in ROLES
            for rater in ("ann", "bob")
        }
        path = tmp_path / "r" / session / f"{session}.eaf"
        path.write_text(elan_text(tiers), encoding="utf-8")
    config, text = read(tmp_path / "r")
    (feature,) = config.data.features
    assert feature.table and feature.table.preset == "openface" and feature.dim == 20
    assert (feature.rate, feature.group) == (30.0, "visual")
    layout = config.data.layout
    assert layout.label_path == "{session}/{session}.eaf"
    assert layout.labels.tier == "{role}_{rater}"
    found = find(config)
    assert found.problems == ()
    assert {*found.sessions[0].participants[0].raters()} == {"ann", "bob"}
    assert "The columns are those of this program" in text


def test_raters_of_turns(tmp_path):
    """A rating of each turn by three raters, on a scale from 1 to 5."""
    root = tmp_path / "r"
    streams(root)
    rng = np.random.default_rng(0)
    for session in SESSIONS:
        rows = [
            (role, coder, i + 1, rng.integers(1, 6))
            for role in ROLES
            for coder in ("x", "y", "z")
            for i in range(8)
        ]
        names = ("speaker", "coder", "turn", "rating")
        write_rows(root / session / "ratings.csv", names, rows)
        spans = [(i + 1, 1000 * i, 1000 * (i + 1)) for i in range(8)]
        write_rows(root / session / "turns.csv", ("turn", "start_ms", "end_ms"), spans)
    config, _ = read(root)
    layout = config.data.layout
    assert layout.labels.rows == ("speaker={role}", "coder={rater}")
    assert layout.labels.turn == "turn" and layout.labels.values == ("rating",)
    assert layout.turns.time_unit == "ms" and layout.turns.start == "start_ms"
    assert config.data.label_range == (1.0, 5.0)
    found = find(config)
    assert found.problems == ()
    person = found.sessions[0].participants[0]
    assert sorted(person.raters()) == ["x", "y", "z"]
    assert np.isfinite(person.labels()).all()


@pytest.mark.parametrize("form", ["interval_csv", "rater_csv"])
def test_words_are_classes(form, tmp_path):
    root = tmp_path / "r"
    streams(root)
    class_forms.FORMS[form](root)
    config, text = read(root)
    assert config.data.classes == class_forms.NAMES
    assert config.optim.loss == "cross-entropy" and "label_range" not in text
    found = find(config)
    assert found.problems == ()
    session, person = found.sessions[0], found.sessions[0].participants[0]
    wanted = class_forms.numbers(session.id, person.role)
    got = session.annotation(0)
    step = round(session.label_rate / 10)
    np.testing.assert_array_equal(got[::step][: len(wanted)], wanted[: len(got)])


def test_one_person_each_in_turns(tmp_path):
    """`P7` in names is 7 in columns; a key names session and turn at once."""
    root = tmp_path / "r"
    rng = np.random.default_rng(0)
    people, turns = (3, 7, 12), (1, 2, 4, 5)
    names = ("frame", "AU01", "FaceScore", "Pitch", "Roll", "Yaw", *EMOTIONS)
    for person in people:
        for turn in turns:
            rows = [(i, *(0.5 + rng.random(12) / 2)) for i in range(20)]
            name = f"P{person}/P{person}_T{turn}.csv"
            write_rows(root / "face" / name, names, rows)
        spans = [(turn, 2000.0, 400.0) for turn in turns]
        path = root / "turns" / f"turn_taking_{person}.tsv"
        write_rows(path, ("Turn", "Length-All", "Pause"), spans, delimiter="\t")
    keys = [(f"P{p}_T{t}", *rng.random(2)) for p in people for t in turns]
    write_rows(root / "voice.csv", ("filename", "F0_mean", "loudness_mean"), keys)
    rated = [(c, p, 5, 1, "", 3, 2) for c in ("a", "b") for p in people]
    wide = [f"Turn {i}" for i in range(1, 6)]
    write_rows(root / "rated.csv", ("Coder", "Participant", *wide), rated)
    config, text = read(root)
    voice, face = config.data.features
    assert (voice.name, face.name) == ("voice", "face")
    assert face.table.preset == "pyfeat" and face.table.time_zero == "turn"
    assert face.table.files == "face/P{session}/P{session}_T{turn}.csv"
    assert face.rate == 10.0 and face.dim == 11
    assert voice.table.rows == ("filename=P{session}_T{turn}",) and voice.table.hold
    layout = config.data.layout
    assert layout.labels.rows == ("Participant={session}", "Coder={rater}")
    assert layout.turns.duration == "Length-All" and layout.turns.time_unit == "ms"
    assert config.data.participants == 1 and config.data.label_range == (1.0, 5.0)
    found = find(config)
    assert found.problems == () and [s.id for s in found.sessions] == ["12", "3", "7"]
    (person,) = found.sessions[0].participants
    assert np.nanmax(person.labels()) == 1.0 and sorted(person.raters()) == ["a", "b"]


def test_openpose_with_folders_of_splits(tmp_path):
    root = tmp_path / "r"
    text = '{"people": [{"pose_keypoints_2d": [' + "1,2,0.5," * 24 + "1,2,0.5]}]}"
    for split in ("train", "val"):
        for session, role in people():
            folder = root / split / session
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(20):
                (folder / f"{role}_{i:012d}_keypoints.json").write_text(text)
            ssi.write_labels(folder / f"{role}.engagement.csv", np.full(20, 0.5))
    config, text = read(root)
    data = config.data
    assert data.features[0].table.preset == "openpose" and data.features[0].dim == 50
    assert data.layout.splits == ("train", "val") and data.val_split == "mine/val"
    assert data.train_splits == ("mine/train",) and data.num_folds == 0
    assert find(config).problems == () and "Set the rate" in text


def test_a_column_of_labels_beside_features(tmp_path):
    root = tmp_path / "r"
    names = ("time", "AU01_r", "AU12_r", "engagement")
    for session, role in people():
        face = values(session, role, "face").tolist()
        rows = [(i / 25, *row, i % 5 + 1) for i, row in enumerate(face)]
        write_rows(root / f"{session}_{role}.csv", names, rows)
    config, _ = read(root)
    (feature,) = config.data.features
    assert feature.table.columns == ("AU01_r", "AU12_r")
    assert config.optim.infonce_weight == 0.0  # there is one group
    assert config.data.layout.label_path == feature.table.files
    assert feature.table.files == "{session}_{role}.csv"
    assert config.data.label_range == (1.0, 5.0) and find(config).problems == ()


def test_released_corpora_have_their_own_configuration(tmp_path):
    for role in ("expert", "novice"):
        data = np.zeros((50, 512), np.float32)
        folder = tmp_path / "noxi" / "train" / "001"
        ssi.write_stream(folder / f"{role}.clip.stream", data, 25.0)
    config, text = read(tmp_path / "noxi", "25hz")
    assert "--config=configs/noxi.py --config.data.root=DIR" in text
    assert config.data.layout is None and config.data.root.endswith("noxi")
    assert [f.name for f in config.data.features] == ["clip"]


@pytest.mark.parametrize(
    ("folder", "split", "role", "preset", "config"),
    [
        ("noxi-j", "train", "expert", "25hz", "configs/noxi_j.py"),
        ("pinsoro", "train-cc", "purple", "task", "configs/pinsoro.py"),
    ],
)
def test_every_released_corpus_has_one(tmp_path, folder, split, role, preset, config):
    data = np.zeros((50, 512), np.float32)
    path = tmp_path / folder / split / "001" / f"{role}.clip.stream"
    ssi.write_stream(path, data, 25.0)
    read_config, text = read(tmp_path / folder, preset)
    assert f"--config={config} --config.data.root=DIR" in text
    assert read_config.data.root.endswith(folder)


HOSTILE = [
    '"); import os; os.abort()  #',
    "'''\"\"\"",
    "line\nbreak = 1",
    "{role}",
    "{0.__class__}",
    "\x1b[2J",
    "\u202eelat",
    "Zoë 会話",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_disk_are_never_code(name, tmp_path):
    root = tmp_path / f"root {name}"
    features, _ = streams(root / name)
    lines(root / name)
    write_rows(root / name / "notes.csv", (name, "b"), [(1, 2)])
    before = sorted(tmp_path.rglob("*"))
    config, text = read(root)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "guessed.py"])
    assert config.data.root == str(root.resolve())
    assert not any(c in text for c in "\x1b\u202e")
    # The hostile folder is plain text of the pattern: what lies below it is found.
    assert len(find(config).sessions) == len(SESSIONS)


def test_folders_that_no_pattern_can_name(tmp_path):
    streams(tmp_path / "back\\slash")
    with pytest.raises(CorpusError, match="expected streams"):
        write_page(tmp_path)


def test_undecodable_names(tmp_path):
    root = tmp_path / "r"
    streams(root)
    lines(root)
    raw = os.fsencode(root) + b"/\xff\xfe.csv"
    with open(raw, "w") as file:
        file.write("a,b\n1,2\n")
    config, text = read(root)
    text.encode("utf-8")
    (problem,) = find(config).problems
    assert "no pattern reads" in problem


@pytest.mark.parametrize(
    "text", ["plain", "it's", 'a"b', "both ' and \"", "\\", "\udcff", "\n\t\0", "é"]
)
def test_quotes(text):
    assert eval(quote(text)) == text  # noqa: S307 (that is what is tested)
    (line,) = assign("x", Item(text))
    space = {}
    exec(line.strip(), space)  # noqa: S102
    assert space["x"] == text


def test_links_pipes_and_size_are_bounded(tmp_path, monkeypatch):
    root = tmp_path / "r"
    streams(root)
    lines(root)
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "monday" / "pupil.voice.csv")
    (root / "outside.csv").symlink_to("/etc/passwd")
    config, text = read(root)
    assert "2 links were not followed" in text
    assert "1 entries are neither files nor folders" in text
    assert len(config.data.features) == 2
    monkeypatch.setattr(look, "MAX_ENTRIES", 5)
    seen = look.look(root)
    assert len(seen.files) <= 5 and "not all were looked at" in seen.notes[-1]


def test_large_text_is_read_in_parts(tmp_path):
    """Somebody whose rows begin behind the first megabyte is found."""
    root = tmp_path / "r"
    for session in SESSIONS:
        rows = [(who, i / 50, i, i) for who in ROLES for i in range(60_000)]
        write_rows(root / f"{session}_voice.csv", ("who", "t", "a", "b"), rows)
    config, text = read(root)
    assert sorted(config.data.layout.roles) == sorted(ROLES)
    assert config.data.features[0].rate == 50.0
    assert "No annotations were found: set their place here" in text


@pytest.mark.parametrize("files", [[], ["readme.txt"], ["a/video.mp4", "b/x.wav"]])
def test_nothing_to_read(files, tmp_path):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("text")
    with pytest.raises(CorpusError, match="expected streams"):
        write_page(tmp_path)


def test_few_people_by_themselves_start_small(tmp_path):
    root = tmp_path / "talks"
    for session in ("one", "two", "three"):
        rows = [(i / 25, i % 7, i % 5) for i in range(200)]
        write_rows(root / session / "face.csv", ("time", "AU01_r", "AU12_r"), rows)
        rated = [(t, t + 2.0, 1 + t % 5) for t in (0.0, 2.0, 4.0, 6.0)]
        write_rows(root / session / "ratings.csv", ("start", "end", "rating"), rated)
    small, text = read(root, preset="small")
    assert small.model.system == "baseline" and small.data.participants == 1
    assert 'get_config(preset="small")' in text
    assert read(root, preset="tiny")[0].model.system == "damamba"
    for session in ("one", "two", "three"):
        (root / session / "face.csv").rename(root / session / "ann_face.csv")
        shutil.copy(root / session / "ann_face.csv", root / session / "bob_face.csv")
    assert 'get_config(preset="demo")' in read(root)[1]
