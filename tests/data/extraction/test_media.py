"""Sound and pictures, out of files that the tests write."""

import struct
import subprocess
import sys
from pathlib import Path

import media_files
import numpy as np
import pytest

from damamba_jax.data.extraction import media
from damamba_jax.errors import DataFormatError

av = pytest.importorskip("av", reason="PyAV decodes: pip install '.[test]'")


def heard(path):
    return np.concatenate(list(media.read_sound(path)))


def shown(path):
    """First row, rows, and the grey of each picture."""
    return [
        (p.start, p.rows, None if p.image is None else int(p.image[0, 0, 0]))
        for p in media.read_pictures(path)
    ]


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_sound_of_any_rate_keeps_its_time(tmp_path, rate):
    sound = media_files.tone(3.0, rate=rate)
    got = heard(media_files.write_wav(tmp_path / "a.wav", sound, rate=rate))
    assert got.dtype == np.float32 and abs(len(got) - 48_000) <= 2
    want = media_files.tone(3.0)[: len(got)]
    # Resampling rings where the tone begins and ends; it shifts nothing.
    assert np.abs(got[: len(want)] - want).mean() < 0.005
    assert abs(media.measure(tmp_path / "a.wav") - 3.0) < 0.01


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 9])
def test_channels_are_averaged(tmp_path, channels):
    tones = [media_files.tone(1.0, hz=200.0 + 100 * i) for i in range(channels)]
    path = media_files.write_wav(tmp_path / "a.wav", np.stack(tones, 1))
    got = heard(path)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.mean(tones, axis=0), atol=1e-4)


def test_eight_channels_of_a_codec_that_keeps_them_apart(tmp_path):
    """AAC decodes to one array a channel."""
    path, rate = tmp_path / "a.mkv", 16_000
    sound = media_files.tone(1.0)
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=rate, layout="7.1")
        samples = np.repeat(sound[:, None], 8, axis=1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(
            samples.reshape(1, -1), format="flt", layout="7.1"
        )
        frame.rate, frame.pts = rate, 0
        for packet in [*audio.encode(frame), *audio.encode()]:
            container.mux(packet)
    got = heard(path)[: len(sound)]
    # The codec changes the sound a little.
    assert np.corrcoef(got, sound[: len(got)])[0, 1] > 0.95


def test_what_is_missing_is_silent_and_shifts_nothing(tmp_path):
    sound = media_files.tone(0.4)
    parts = [(0.0, sound), (2.0, sound)]
    got = heard(media_files.write_mkv(tmp_path / "a.mkv", sound=parts))
    assert len(got) == 38_400
    np.testing.assert_allclose(got[32_000:], sound, atol=1e-4)
    assert not got[6_400:32_000].any()


def test_the_picture_that_is_shown_when_a_row_begins(tmp_path):
    """30 pictures a second, then one that stays for a second."""
    times = [i / 30 for i in range(6)] + [0.2, 1.2]
    path = media_files.write_mkv(tmp_path / "a.mkv", times=times)
    assert shown(path) == [
        (0, 1, 0),  # 0.000
        (1, 1, 10),  # 0.033 at 0.04
        (2, 1, 20),  # 0.067 at 0.08
        (3, 1, 30),  # 0.100 at 0.12
        (4, 1, 40),  # 0.133 at 0.16
        (5, 25, 60),  # 0.200: 0.167 is never shown when a row begins
        (30, 1, 70),
    ]


def test_twice_the_rate_leaves_out_every_other_picture(tmp_path):
    times = [i / 50 for i in range(10)]
    path = media_files.write_mkv(tmp_path / "a.mkv", times=times, fps=50)
    assert shown(path) == [(i, 1, 20 * i) for i in range(5)]


def test_pictures_and_sound_have_one_clock(tmp_path):
    """Rows before the first picture have none."""
    path = media_files.write_mkv(
        tmp_path / "a.mkv", times=[0.4, 0.44], fps=25,
        sound=[(0.0, media_files.tone(0.48))],
    )  # fmt: skip
    assert shown(path) == [(0, 10, None), (10, 1, 0), (11, 1, 10)]
    assert len(heard(path)) == 12 * 640


@pytest.mark.parametrize(("angle", "corner"), [(0, 1), (90, 2), (180, 3), (-90, 4)])
def test_pictures_are_turned_upright(angle, corner):
    class Frame:
        width = height = 2
        rotation = angle

        def to_ndarray(self, *, format):
            assert format == "rgb24"
            corners = np.array([[1, 2], [4, 3]], np.uint8)
            return np.repeat(corners[:, :, None], 3, axis=2)

    # `rotation` is the angle by which a player turns it, against the clock.
    assert media._upright(Path("a.mp4"), Frame())[0, 0, 0] == corner


def test_a_picture_beyond_the_bound_is_refused(tmp_path):
    class Frame:
        width = height = 1 << 14

    with pytest.raises(DataFormatError, match="at most 67108864 pixels"):
        media._upright(tmp_path / "a.mp4", Frame())


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("small", [0, 20])
def test_a_picture_beyond_the_bound_takes_no_memory(tmp_path, small):
    """A picture of 256 MB comes alone, or between pictures that are small."""
    sizes = [(32, 16)] * small + [(16_000, 16_000)] + [(32, 16)] * small
    path = media_files.write_png_video(tmp_path / "a.mov", sizes)
    program = (
        "import pathlib, re, sys\n"
        "from damamba_jax.data.extraction import media\n"
        "def peak():\n"
        "    status = pathlib.Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1])\n"
        "media._library()\n"
        "start = peak()\n"
        "try: found = len(list(media.read_pictures(pathlib.Path(sys.argv[1]))))\n"
        "except ValueError as error: found = error\n"
        "print((peak() - start) // 1024, found)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True,
    )  # fmt: skip
    grown, found = done.stdout.strip().split(" ", 1)
    assert int(grown) < 100, done
    if small:
        assert found == "40" and "1 packets are damaged or too large" in done.stderr
    else:
        assert "expected a picture of at most 67108864 pixels, got none" in found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"nothing of the kind" * 100,
        b"#EXTM3U\n#EXTINF:1,\na.wav\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile a.wav\n",
    ],
)
@pytest.mark.parametrize("name", ["b.wav", "b.mp4"])
def test_what_is_no_recording_is_refused(tmp_path, content, name):
    """Playlists as well, which name other files."""
    media_files.write_wav(tmp_path / "a.wav", media_files.tone(1.0))
    (tmp_path / name).write_bytes(content)
    for read in (media.measure, heard, shown):
        with pytest.raises(DataFormatError, match="FFmpeg can read"):
            read(tmp_path / name)


def test_what_cannot_be_opened_is_an_error_of_this_file(tmp_path):
    for read in (media.measure, heard, shown):
        with pytest.raises(DataFormatError, match="a.wav: .* No such file or direct"):
            read(tmp_path / "a.wav")


def test_an_empty_track_is_an_error(tmp_path):
    path = media_files.write_wav(tmp_path / "a.wav", np.zeros(0))
    with pytest.raises(DataFormatError, match="at least one sample, got none"):
        heard(path)
    with pytest.raises(DataFormatError, match="a video track, got none"):
        shown(path)
    path = media_files.write_mkv(tmp_path / "a.mkv", times=[0.0])
    with pytest.raises(DataFormatError, match="a sound track, got none"):
        heard(path)


def test_a_header_that_claims_too_much_costs_nothing(tmp_path):
    path = media_files.write_wav(tmp_path / "a.wav", media_files.tone(1.0))
    raw = bytearray(path.read_bytes())
    raw[4:8] = raw[40:44] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(raw)
    assert media.measure(path) <= media.MAX_SECONDS
    assert len(heard(path)) == 16_000


def test_a_jump_beyond_the_bound_is_an_error(tmp_path):
    """It would be filled with hours of silence, or with rows."""
    late = media.MAX_SECONDS + 10.0
    sound = media_files.tone(0.1)
    path = media_files.write_mkv(tmp_path / "a.mkv", sound=[(0, sound), (late, sound)])
    with pytest.raises(DataFormatError, match="`length`: expected at most 86400 s"):
        heard(path)
    path = media_files.write_mkv(tmp_path / "b.mkv", times=[0.0, late])
    with pytest.raises(DataFormatError, match="`length`"):
        shown(path)


def test_a_last_picture_beyond_the_bound_is_an_error(tmp_path):
    path = media_files.write_mkv(tmp_path / "a.mkv", times=[0.0, 1.0], last=2.0)
    assert shown(path) == [(0, 25, 0), (25, 50, 10)]
    path = media_files.write_mkv(tmp_path / "b.mkv", times=[0.0, 1.0], last=1e6)
    with pytest.raises(DataFormatError, match="`length`: expected at most 86400 s"):
        shown(path)


def test_titles_in_any_letters_do_no_harm(tmp_path):
    path = media_files.write_wav(tmp_path / "a.wav", media_files.tone(1.0))
    title = b"Gespr\xe4ch\0"
    info = b"INFOINAM" + struct.pack("<I", len(title)) + title + b"\0"
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", len(info)) + info)
    assert len(heard(path)) == 16_000


def test_a_cut_file_gives_what_there_is(tmp_path):
    path = media_files.write_wav(tmp_path / "a.wav", media_files.tone(2.0))
    cut = tmp_path / "b.wav"
    cut.write_bytes(path.read_bytes()[:-32_000])
    assert len(heard(cut)) == 16_000


def test_a_damaged_packet_shifts_nothing(tmp_path, caplog):
    """The picture before stays for longer."""
    times = [i / 25 for i in range(20)]
    path = media_files.write_mkv(tmp_path / "a.mkv", times=times, codec="mjpeg", fps=25)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux() if packet.size]
    raw = path.read_bytes()
    assert raw.count(packets[7]) == 1
    path.write_bytes(raw.replace(packets[7], b"\x55" * len(packets[7])))
    got = [(start, rows) for start, rows, _ in shown(path)]
    assert got == [(i, 1) for i in range(6)] + [(6, 2)] + [(i, 1) for i in range(8, 20)]
    assert "1 packets are damaged or too large" in caplog.text


def test_rows_of_which_half_was_recorded():
    assert [media.count_rows(s) for s in (0.0, 0.019, 0.021, 0.04, 1.0, 1.019)] == [
        0, 0, 1, 1, 25, 25,
    ]  # fmt: skip
