"""Every kind of mistake in an archive is named, with its file."""

import stat
import struct
import zipfile

import pytest
from sets import FRAMES, people, predictions

from damamba_jax.submission import reading, values
from damamba_jax.submission.archive import write_archive
from damamba_jax.submission.check import check_archive
from damamba_jax.submission.profiles import PROFILES, SETS

PROFILE = PROFILES["mm26"]
EXPERT = "noxi-base/003/expert.engagement.prediction.csv"
CHILD = "pinsoro-cr/002/purple.task_engagement.prediction.csv"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The files of an archive that is accepted, by name."""
    folder = tmp_path_factory.mktemp("good")
    write_archive(folder / "a.zip", predictions(folder), PROFILE)
    with zipfile.ZipFile(folder / "a.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def check(tmp_path, files, **options):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return check_archive(path, PROFILE, **options)


def kinds(report):
    return {problem.kind for problem in report.problems}


def the_line(report):
    """The only line of a report."""
    (line,) = report.lines()
    return line


VALUE = "0.5\n" * FRAMES
CLASS = "noplay\n" * FRAMES


@pytest.mark.parametrize(
    ("name", "data", "kind", "text"),
    [
        (EXPERT, VALUE.replace("0.5", "nan", 1), "value", "line 1: expected a number"),
        (EXPERT, VALUE + "inf\n", "value", "line 7: expected a number, got 'inf'"),
        (EXPERT, "1.01\n" * FRAMES, "value", "within [0, 1], got '1.01'; 6 lines"),
        (EXPERT, VALUE + "-0.01\n", "value", "line 7: expected a value within [0, 1]"),
        (EXPERT, VALUE + "\n0.5\n", "value", "line 7: expected a number, got an empty"),
        (EXPERT, "engagement\n" + VALUE, "value", "got 'engagement' (a header?)"),
        (EXPERT, VALUE.replace("\n", ";1\n"), "value", "got '0.5;1'; 6 lines"),
        (EXPERT, VALUE.replace(".", ","), "value", "got '0,5'"),
        (EXPERT, VALUE + "1_0\n", "value", "got '1_0'"),
        (EXPERT, "", "empty", "has no line"),
        (EXPERT, VALUE.encode("utf-16"), "encoding", "expected UTF-8"),
        (EXPERT, b"\xef\xbb\xbf" + VALUE.encode(), "encoding", "byte order mark"),
        (CHILD, CLASS.replace("no", "No", 1), "class", "did you mean 'noplay'"),
        (CHILD, "3\n" * FRAMES, "class", "line 1: expected a class, got '3'; 6 lines"),
        (CHILD, CLASS + "\n", "class", "line 7: expected a class, got an empty line"),
        # The other annotation has six.
        (CHILD, CLASS * 2, "lines", "its files have 6 and 12 lines"),
    ],
)
def test_what_stands_in_a_file(tmp_path, good, name, data, kind, text):
    report = check(tmp_path, good | {name: data})
    assert kind in kinds(report)
    lines = [line for line in report.lines() if text in line]
    place = name.rsplit(".task", 1)[0] if kind == "lines" else name
    assert lines and lines[0].startswith(f"{place}: ")


@pytest.mark.parametrize(
    "data",
    [VALUE.replace("\n", "\r\n"), "0\n1\n1.0\n0.5\n1e-3\n0.123456789", " 0.5 \n"],
)
def test_spellings_that_are_read(tmp_path, good, data):
    assert check(tmp_path, good | {EXPERT: data}).problems == ()


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("__MACOSX/noxi-base/003/._expert.csv", "hidden", "is no prediction"),
        ("noxi-base/003/.DS_Store", "hidden", "is no prediction"),
        ("../evil.csv", "outside", "leads out of the archive"),
        ("/etc/passwd", "outside", "leads out of the archive"),
        ("noxi-base\\003\\expert.csv", "outside", "is not a path"),
        ("C:/noxi-base/expert.csv", "outside", "is not a path"),
        ("readme.txt", "folder", "got a file alone"),
        ("noxi/003/expert.csv", "folder", "unknown set 'noxi'; did you mean 'noxi-"),
        ("noxi-base/expert.engagement.prediction.csv", "folder", "SET/SESSION/FILE"),
        (EXPERT.replace("prediction", "pred"), "file name", "a name of mm26-script5"),
        (EXPERT.replace("expert", "expret"), "file name", "did you mean 'expert."),
        (CHILD.replace("purple", "yellow"), "role", "yellow is a robot and not scored"),
        ("NoXi-base/003/expert.csv", "folder", "did you mean 'noxi-base'"),
        (EXPERT.upper(), "duplicate", f"another file: {EXPERT}"),
    ],
)
def test_one_file_too_many(tmp_path, good, name, kind, text):
    report = check(tmp_path, good | {name: VALUE})
    assert [(p.kind, p.name) for p in report.problems] == [(kind, name)]
    assert text in the_line(report)


def test_a_name_that_stands_there_twice(tmp_path, good):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in good.items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(EXPERT, VALUE)
    assert f"{EXPERT}: has the same name as another file" in the_line(
        check_archive(path, PROFILE)
    )


def test_what_is_missing(tmp_path, good):
    def without(*starts):
        kept = {n: d for n, d in good.items() if not n.startswith(starts)}
        return check(tmp_path, kept)

    assert without(EXPERT).lines() == [
        f"{EXPERT}: is not there.", "noxi-base: expected 32 people, got 31.",
    ]  # fmt: skip
    assert without("noxi-j/004/").lines() == [
        "noxi-j: expected 10 sessions, got 9.", "noxi-j: expected 20 people, got 18.",
    ]  # fmt: skip
    assert without("noxi-j/").lines() == ["noxi-j: is not there."]
    assert without(CHILD).lines() == [f"{CHILD}: is not there."]
    assert without("mpiigroupinteraction/002/subjectPos3").lines() == [
        "mpiigroupinteraction: expected 23 people, got 22."
    ]


def test_some_sets_alone(tmp_path, good):
    kept = {n: d for n, d in good.items() if n.startswith("noxi-j/")}
    assert check(tmp_path, kept, folders=["noxi-j"]).problems == ()
    assert kinds(check(tmp_path, good, folders=["noxi-j"])) == {"folder"}


def test_lengths_and_people_of_a_corpus(tmp_path, good):
    frames = {
        (one.split, session, role): FRAMES
        for one in SETS[:1]
        for session, role in people(one)
    }
    assert check(tmp_path, good, frames=frames).problems == ()
    frames["noxi/test-base", "003", "expert"] = 7
    del frames["noxi/test-base", "004", "novice"]
    frames["noxi/test-base", "077", "novice"] = 7
    assert check(tmp_path, good, frames=frames).lines() == [
        f"{EXPERT}: expected 7 lines, the frames of the corpus, got 6.",
        "noxi-base/004/novice: is not a person of this set in the corpus.",
        "noxi-base/077/novice.engagement.prediction.csv: is not there.",
    ]


def test_one_folder_around_all(tmp_path, good):
    report = check(tmp_path, {f"mine/{name}": data for name, data in good.items()})
    assert "mine/: expected the folders of the sets at the top" in the_line(report)


def test_many_problems_of_one_kind_are_counted(tmp_path, good):
    hidden = {f"__MACOSX/{name}": b"" for name in good}
    *_, last = check(tmp_path, good | hidden).lines()
    assert last == f"... and {len(good) - 8} more of this kind: hidden."


def test_folders_with_entries_of_their_own(tmp_path, good):
    assert (
        check(tmp_path, {"noxi-base/": b"", "noxi-base/003/": b""} | good).problems
        == ()
    )


@pytest.mark.parametrize("kind", ["link", "encrypted", "compression", "damaged"])
def test_entries_that_are_no_plain_files(tmp_path, good, kind):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in good.items():
            info = zipfile.ZipInfo(name)
            if name == EXPERT and kind == "link":
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            if name == EXPERT and kind == "compression":
                info.compress_type = zipfile.ZIP_LZMA
            archive.writestr(info, data)
    raw = bytearray(path.read_bytes())
    if kind == "damaged":
        raw[raw.index(good[EXPERT], raw.index(EXPERT.encode())) + 2] ^= 1
    if kind == "encrypted":
        # The flags of the entry in the list at the end.
        place = raw.rindex(EXPERT.encode()) - 46
        assert raw[place : place + 4] == b"PK\x01\x02"
        raw[place + 8] |= 1
    path.write_bytes(raw)
    report = check_archive(path, PROFILE)
    assert (kind, EXPERT) in {(p.kind, p.name) for p in report.problems}


def test_bombs_are_read_within_bounds(tmp_path, good, monkeypatch):
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 1 << 20)
    monkeypatch.setattr(values, "MAX_LINES", 1 << 10)
    bomb = b"0" * (1 << 24)
    report = check(tmp_path, good | {EXPERT: bomb})
    assert (tmp_path / "made.zip").stat().st_size < 1 << 17
    assert f"{EXPERT}: expected at most {1 << 20} bytes" in report.lines()[0]
    report = check(tmp_path, good | {EXPERT: "0\n" * 2000})
    assert f"{EXPERT}: expected at most 1024 lines" in report.lines()[0]
    monkeypatch.setattr(reading, "MAX_TOTAL_BYTES", 100)
    assert "size" in kinds(check(tmp_path, good))
    monkeypatch.setattr(reading, "MAX_FILES", 10)
    assert "more than 10 files" in the_line(check(tmp_path, good))


def test_files_with_problems_use_up_the_bound_of_all_files(tmp_path, good, monkeypatch):
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 1 << 16)
    monkeypatch.setattr(reading, "MAX_TOTAL_BYTES", 1 << 18)
    read = []
    inflate = zipfile.ZipExtFile.read

    def count(self, *args):
        read.append(inflate(self, *args))
        return read[-1]

    monkeypatch.setattr(zipfile.ZipExtFile, "read", count)
    bomb = b"0" * (1 << 20)
    report = check(tmp_path, dict.fromkeys(good, bomb))
    assert len(report.problems) > 10
    # The last file that is begun may pass the bound by a piece.
    assert sum(map(len, read)) < (1 << 18) + (1 << 17) + (1 << 16)


def test_a_header_that_lies_about_a_size(tmp_path, good, monkeypatch):
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 1 << 16)
    check(tmp_path, good | {EXPERT: b"0" * (1 << 20)})
    path = tmp_path / "made.zip"
    raw = bytearray(path.read_bytes())
    place = raw.rindex(EXPERT.encode()) - 46
    raw[place + 24 : place + 28] = struct.pack("<I", 10)
    path.write_bytes(raw)
    report = check_archive(path, PROFILE)
    assert {("damaged", EXPERT), ("size", EXPERT)} & {
        (p.kind, p.name) for p in report.problems
    }


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04 no archive", b"PK\x05\x06" + b"\xff" * 18]
)
def test_files_that_are_no_archives(tmp_path, data):
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert "expected a zip archive" in the_line(check_archive(path, PROFILE))
    missing = the_line(check_archive(tmp_path / "b.zip", PROFILE))
    assert "b.zip: expected a zip archive, found no file" in missing


def test_a_list_of_files_without_end(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2000):
            archive.writestr(f"noxi-base/{number:040d}/x", b"")
    monkeypatch.setattr(reading, "MAX_DIRECTORY_BYTES", 1 << 17)
    assert "list of files is too long" in the_line(check_archive(path, PROFILE))


def test_whatever_byte_is_flipped_there_is_a_report(tmp_path, good):
    small = {n: d for n, d in good.items() if n.startswith("noxi-base/001/")}
    check(tmp_path, small)
    path = tmp_path / "made.zip"
    raw = path.read_bytes()
    for place in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        report = check_archive(path, PROFILE)
        assert report.rows or kinds(report) == {"archive"}
