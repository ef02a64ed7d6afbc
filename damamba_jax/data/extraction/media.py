"""Decodes sound and pictures of a recording, a little at a time.

PyAV, which is the package `av` and uses FFmpeg, decodes. Times count from the beginning
of the file. If a track starts later, silence or rows without a picture come first. If
packets are lost, the times of later ones do not change.

Files are untrusted. Formats that name other files or addresses, such as playlists, are
refused, and so are recordings and pictures that exceed the limits below.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.extraction.needs import load_package
from damamba_jax.errors import format_error

_log = logging.getLogger(__name__)

# The rate of sound after decoding, whatever rate the file has.
SOUND_HZ = 16_000
# The rate of all features.
ROW_HZ = 25
MAX_SECONDS = 24 * 3600
MAX_PIXELS = 1 << 26

# If the times of packets jump by more than this, packets are missing.
_GAP_SECONDS = 0.1
# Containers round times to milliseconds.
_TICK = Fraction(1, 1000)
_FORMATS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,m4v,matroska,mov,mp3,mpeg,mpegts,"
    "mpegvideo,mxf,ogg,w64,wav"
)
# Options of FFmpeg's decoders.
_LIMITS = {"max_pixels": str(MAX_PIXELS)}


class Shown(NamedTuple):
    """A picture, and the rows at whose time it is shown.

    Attributes:
      start: index of the first of these rows.
      rows: number of these rows, at least one.
      image: `[height, width, 3]` uint8, red, green and blue; `None` before the first
        picture.
    """

    start: int
    rows: int
    image: np.ndarray | None


def count_rows(seconds: float) -> int:
    """Counts the rows of which at least half of the time was recorded."""
    return math.floor(seconds * ROW_HZ + 0.5)


def measure(path: Path) -> float:
    """Reads how many seconds a file claims to last; 0 if it does not say.

    Raises:
      DataFormatError: for a file that is not a recording or cannot be opened.
    """
    with _open(path) as container:
        seconds = (container.duration or 0) / 1e6
    return min(max(seconds, 0.0), float(MAX_SECONDS))


def read_sound(path: Path) -> Iterator[Float[np.ndarray, "samples"]]:
    """Reads the sound as float32 in [-1, 1], mono at `SOUND_HZ`, in blocks.

    Channels are averaged. The first sound track of the file is read.

    Raises:
      DataFormatError: if there is no sound track, if it has no sample, cannot be
        decoded, or is too long.
    """
    av = _library()
    with _open(path) as container:
        if not container.streams.audio:
            raise _unlike(path, "sound", expected="a sound track", got="none")
        # Samples of all channels lie in one array. With one array a channel, PyAV reads
        # beyond its list of arrays from eight channels on, and the process crashes.
        resampler = av.AudioResampler(format="flt", rate=SOUND_HZ)
        zero, done = _start(container), 0
        for frame in _resampled(path, container, resampler):
            if frame.pts is not None and frame.time_base is not None:
                begin = round((frame.pts * frame.time_base - zero) * SOUND_HZ)
                _check_length(path, begin / SOUND_HZ)
                if begin - done > _GAP_SECONDS * SOUND_HZ:
                    yield from _silence(begin - done)
                    done = begin
            # The mean is taken here, since FFmpeg makes similar channels louder when it
            # mixes them.
            channels = frame.layout.nb_channels
            block = frame.to_ndarray().reshape(-1, channels).mean(axis=1)
            done += len(block)
            _check_length(path, done / SOUND_HZ)
            yield block
    if done == 0:
        raise _unlike(path, "sound", expected="at least one sample", got="none")


def read_pictures(path: Path) -> Iterator[Shown]:
    """Reads the pictures that are shown at the times of rows, upright.

    A picture that is not shown at the time of a row is left out. A picture that is
    shown for several rows comes once, with all of these rows. The first video track of
    the file is read.

    Raises:
      DataFormatError: if there is no video track, if it has no picture of at most
        `MAX_PIXELS`, cannot be decoded, or is too long.
    """
    with _open(path) as container:
        if not container.streams.video:
            raise _unlike(path, "video", expected="a video track", got="none")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        # The decoder must not get memory for a picture that is refused afterwards.
        stream.codec_context.options = _LIMITS
        usual = 1 / Fraction(stream.average_rate or ROW_HZ)
        zero, row, end = _start(container), 0, Fraction(0)
        before: Any = None
        for frame in _frames(path, container, stream):
            time = end
            if frame.pts is not None and frame.time_base is not None:
                time = frame.pts * frame.time_base - zero
            _check_length(path, float(time))
            first = math.ceil((time - _TICK) * ROW_HZ)
            if first > row:
                yield Shown(row, first - row, _upright(path, before))
                row = first
            before = frame
            length = (frame.duration or 0) * (frame.time_base or 0)
            end = time + (Fraction(length) or usual)
        # A file may claim any duration of its last picture.
        _check_length(path, float(end))
        stop = count_rows(float(end))
        if before is not None and stop > row:
            yield Shown(row, stop - row, _upright(path, before))
    if before is None:
        raise _unlike(
            path, "video", expected=f"a picture of at most {MAX_PIXELS} pixels",
            got="none",
        )  # fmt: skip


def _library() -> Any:
    return load_package("av", feature="--input", extra="extract")


def _unlike(path: Path, field: str, *, expected: str, got: str) -> Exception:
    return format_error(path, field, expected=expected, got=got)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    av = _library()
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    # FFmpeg decodes some pictures while it opens a file.
    options |= _LIMITS
    # Before version 19, titles and comments that are not UTF-8 raise an error.
    old = int(av.__version__.partition(".")[0]) < 19
    lenient = {"metadata_errors": "replace"} if old else {}
    try:
        container = av.open(str(path), options=options, **lenient)
    # The system's errors count as well: one file that may not be read, for instance,
    # must not end the work on the others.
    except (av.error.FFmpegError, OSError) as error:
        raise _unlike(
            path, "format", expected="a recording that FFmpeg can read",
            got=f"{error.strerror or error}",
        ) from error  # fmt: skip
    with container:
        yield container


def _start(container: Any) -> Fraction:
    """Returns the time at which the first track begins, s."""
    return Fraction(container.start_time or 0, 1_000_000)


def _frames(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """Decodes a track; packets that cannot be decoded are left out and logged."""
    av = _library()
    lost, packets = 0, container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            raise _unlike(
                path, "packets", expected="a whole file", got=f"{error.strerror}"
            ) from error
        if packet is None:
            break
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            lost += 1
    if lost:
        _log.warning(
            "%s: %d packets are damaged or too large, and were left out.", path, lost
        )


def _resampled(path: Path, container: Any, resampler: Any) -> Iterator[Any]:
    for frame in _frames(path, container, container.streams.audio[0]):
        yield from _resample(path, resampler, frame)
    yield from _resample(path, resampler, None)


def _resample(path: Path, resampler: Any, frame: Any) -> list[Any]:
    """Resamples one block; `None` at the end returns the remaining samples."""
    try:
        return resampler.resample(frame)
    except ValueError as error:  # One cause is another rate or layout than before.
        raise _unlike(
            path, "sound", expected="one rate and layout", got=f"{error}"
        ) from error


def _silence(samples: int) -> Iterator[np.ndarray]:
    """Yields silence in blocks of a second."""
    while samples > 0:
        yield np.zeros(min(samples, SOUND_HZ), np.float32)
        samples -= SOUND_HZ


def _check_length(path: Path, seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise _unlike(
            path, "length", expected=f"at most {MAX_SECONDS} s", got=f"{seconds:.0f} s"
        )


def _upright(path: Path, frame: Any) -> np.ndarray | None:
    """Converts a picture, and turns it upright by the camera's note of its rotation."""
    if frame is None:
        return None
    if frame.width * frame.height > MAX_PIXELS:
        raise _unlike(
            path, "video", expected=f"at most {MAX_PIXELS} pixels",
            got=f"{frame.width} x {frame.height}",
        )  # fmt: skip
    image = frame.to_ndarray(format="rgb24")
    return np.rot90(image, round(frame.rotation / 90))
