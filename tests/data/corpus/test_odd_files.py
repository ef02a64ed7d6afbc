"""What is odd among the files of a corpus is named, and costs nothing else."""

import os
import resource
import unicodedata

import numpy as np
import pytest
from forms import FACE, SESSIONS, VOICE, layout, lines, people, streams, write_rows

from damamba_jax.config.layout import LabelConfig, TableConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.formats import ssi
from damamba_jax.errors import DataFormatError

DAY = 86_400


@pytest.fixture
def root(tmp_path):
    streams(tmp_path)
    lines(tmp_path)
    return tmp_path


def find(root, features=(VOICE, FACE), **options):
    places = options.pop("places", {"label_path": "{session}/{role}.engagement.csv"})
    place = layout(feature_path="{session}/{role}.{stem}.stream", **places)
    return corpus_index.index(root, features=features, layout=place, **options)


def tracks(found):
    return [
        f"{session.id} {person.role} {name}"
        for session in found.sessions
        for person in session.participants
        for name in person.tracks
    ]


# --- Left out by name, or because they are damaged ---------------------------------


@pytest.mark.parametrize(
    ("pattern", "files", "left"),
    [
        ("monday", 6, 4),
        ("MONDAY/", 6, 4),
        ("*/pupil.face.stream", 2, 6),
        ("monday/teacher.face.stream~", 1, 7),
        ("*day/teacher.*", 6, 4),
    ],
)
def test_excluded_files(root, pattern, files, left):
    found = find(root, exclude=(pattern,))
    assert len(tracks(found)) == left
    assert found.left_out[0].startswith(f"`data.exclude` leaves out {files} file")
    assert not any("no pattern reads" in problem for problem in found.problems)


def test_a_pattern_that_excludes_nothing(root):
    found = find(root, exclude=("mondey",))
    assert len(tracks(found)) == 8 and found.left_out == ()
    assert found.problems == ("`data.exclude`: 'mondey' fits no file of the corpus.",)


DAMAGES = {
    "header": ("monday/pupil.face.stream", "<stream>"),
    "labels": ("monday/pupil.engagement.csv", "a;b\nc;d\n"),
    "width": ("monday/pupil.face.stream", None),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_can_be_skipped(root, name):
    file, text = DAMAGES[name]
    if text is None:
        ssi.write_stream(root / file, np.zeros((200, 5), np.float32), 25.0)
    else:
        (root / file).write_text(text)
    if name != "labels":
        with pytest.raises(DataFormatError, match=r"pupil\.face"):
            find(root)
    found = find(root, skip_damaged=True)
    (line,) = found.left_out
    assert line.startswith("`data.on_error` = 'skip' leaves out 1:") and file in line
    assert sum(file in problem for problem in found.problems) == 1
    lost = name != "labels"
    assert len(tracks(found)) == 8 - lost
    rated = [p.labels_path for s in found.sessions for p in s.participants]
    assert sum(path is None for path in rated) == (name == "labels")


def test_damaged_tables_are_skipped_whatever_the_row(tmp_path):
    for session, role in people():
        rows = [(i / 25, i, i) for i in range(200)]
        if (session, role) == ("monday", "pupil"):
            rows[150] = (150 / 25, 1, "here")
        write_rows(tmp_path / session / f"{role}.face.csv", ("t", "a", "b"), rows)
    lines(tmp_path)
    face = FeatureConfig(
        name="face", dim=2, group="visual", rate=25.0, stems=("face",),
        table=TableConfig(files="{session}/{role}.face.csv", time="t"),
    )  # fmt: skip
    found = find(tmp_path, (face,), skip_damaged=True, cache_dir=tmp_path / "cache")
    assert len(tracks(found)) == 3 and "pupil.face.csv" in found.left_out[0]


# --- Files that are there, and are not read -----------------------------------------


def test_files_that_no_pattern_reads(root):
    write_rows(root / "monday" / "mother.face.csv", ("a",), [(1,)])
    ssi.write_stream(
        root / "monday" / "pupil.fcae.stream", np.zeros((9, 2), "f4"), 25.0
    )
    (root / "README.txt").write_text("words")
    (root / "film.mp4").write_bytes(b"0")
    (line,) = find(root).problems
    assert line.startswith("2 files that no pattern reads (1 .csv, 1 .stream), such as")


def test_pipes_and_circles_are_passed_over(root):
    os.mkfifo(root / "monday" / "mother.face.stream")
    for file in ("pupil.voice.stream", "pupil.engagement.csv"):
        (root / "tuesday" / file).unlink()
        os.mkfifo(root / "tuesday" / file)
    (root / "friday").symlink_to(root / "friday")
    (root / "sunday").symlink_to(root / "nothing")
    (root / "loop").symlink_to(root)
    found = find(root)
    text = "\n".join(found.problems)
    assert len(tracks(found)) == 7
    assert text.count("a pipe or a device, and was passed over") == 3
    assert text.count("is a link in a circle or to nothing, and was ignored") == 2


@pytest.mark.parametrize(
    ("stored", "rated"),
    [
        ("Monday", "monday"),
        (unicodedata.normalize("NFC", "élan"), unicodedata.normalize("NFD", "élan")),
    ],
)
def test_names_that_are_nearly_the_same(tmp_path, stored, rated):
    for role in ("teacher", "pupil"):
        data = np.ones((200, 2), np.float32)
        ssi.write_stream(tmp_path / "a" / stored / f"{role}.face.stream", data, 25.0)
        ssi.write_labels(tmp_path / "b" / rated / f"{role}.csv", np.full(80, 0.5))
    place = layout(
        feature_path="a/{session}/{role}.{stem}.stream",
        label_path="b/{session}/{role}.csv",
    )
    found = corpus_index.index(tmp_path, features=(FACE,), layout=place)
    (line,) = [p for p in found.problems if "has labels, but no stream" in p]
    assert f"the labels of {stored!r}? The names differ in case" in line


# --- Rates and lengths that cannot be -----------------------------------------------


@pytest.mark.parametrize("rate", [1e6, 1e-6, 2e3])
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
def test_rates_that_cannot_be(root, rate, labelled, everywhere):
    if not labelled:
        for path in root.rglob("*.engagement.csv"):
            path.unlink()
    for path in root.rglob("*.stream" if everywhere else "pupil.face.stream"):
        text = path.read_text()
        for true in (25.0, 50.0):
            text = text.replace(f'sr="{true:.6f}"', f'sr="{rate:.6f}"')
        path.write_text(text)
    found = find(root)
    people = [p for session in found.sessions for p in session.participants]
    assert {t.rate for p in people for t in p.tracks.values()} == {25.0, 50.0}
    assert all(session.duration == 8.0 for session in found.sessions)
    assert any("read at 25 Hz" in problem for problem in found.problems)


def test_a_wrong_unit_of_time(tmp_path):
    lines(tmp_path)
    for session, role in people():
        rows = [(40 * i, i, i) for i in range(200)]  # milliseconds
        write_rows(tmp_path / session / f"{role}.face.csv", ("t", "a", "b"), rows)
    table = TableConfig(files="{session}/{role}.face.csv", time="t")
    face = FeatureConfig(
        name="face", dim=2, group="visual", rate=25.0, stems=("face",), table=table
    )
    with pytest.raises(DataFormatError, match=r"features\.face\.table\.time_unit"):
        find(tmp_path, (face,))


def sparse(path, size, head=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)


def npy_head(rows):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, 2), }}"
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


SIZE = 6 << 30
SPARSE = {
    "stream": ("monday/pupil.face.stream~", b""),
    "lines": ("monday/pupil.engagement.csv", b"0.5\n"),
    "csv": ("monday/pupil.face.csv", b"a,b\n1,2\n"),
    "npy": ("monday/pupil.face.npy", npy_head((SIZE - 128) // 16)),
    "annotation": ("monday/pupil.annotation~", b""),
    "eaf": ("monday/pupil.eaf", b"<ANNOTATION_DOCUMENT>"),
    "labels npy": ("monday/pupil.rated.npy", npy_head((SIZE - 128) // 16)),
}
NOVA = (
    '<annotation ssi-v="3"><info ftype="BINARY" size="{size}"/>'
    '<scheme name="x" type="CONTINUOUS" sr="25" min="0" max="1"/></annotation>'
)


@pytest.mark.parametrize("kind", SPARSE)
def test_files_of_gigabytes_that_hold_nothing(root, kind):
    """Six gigabytes of zeros are refused by name, within memory and time."""
    file, head = SPARSE[kind]
    features, places = (VOICE, FACE), {"label_path": "{session}/{role}.engagement.csv"}
    if kind == "stream":
        header = root / "monday" / "pupil.face.stream"
        header.write_text(header.read_text().replace('num="200"', 'num="900000000"'))
    elif kind in ("csv", "npy"):
        table = TableConfig(files="{session}/{role}.face." + kind)
        face = FeatureConfig(
            name="face", dim=2, group="visual", rate=25.0, stems=("face",), table=table
        )
        features = (VOICE, face)
    elif kind == "annotation":
        size = SIZE // 8
        (root / "monday" / "pupil.annotation").write_text(NOVA.format(size=size))
        places = {"label_path": "{session}/{role}.annotation"}
    elif kind == "eaf":
        places = {"label_path": "{session}/{role}.eaf"}
    elif kind == "labels npy":
        places = {
            "label_path": "{session}/{role}.rated.npy",
            "labels": LabelConfig(values=("0",)),
        }
    sparse(root / file, SIZE, head)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = find(root, features, places=places, strict=False)
    for session in found.sessions:
        for person in session.participants:
            if person.labels_path is not None:
                person.labels()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert any(file.removesuffix("~") in problem for problem in found.problems)
    assert after - before < 400 << 10  # KiB
    assert all(session.duration < DAY for session in found.sessions)
    assert len(found.sessions) == len(SESSIONS)
