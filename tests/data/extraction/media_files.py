"""Recordings for tests: sound by the standard library, the rest by PyAV."""

import struct
import wave
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np

_MS = Fraction(1, 1000)


def tone(seconds, *, rate=16_000, hz=200.0, loudness=0.5):
    """A tone that is silent in every other half second, `[samples]`."""
    time = np.arange(round(rate * seconds)) / rate
    return loudness * np.sin(2 * np.pi * hz * time) * (np.floor(time * 2) % 2 == 0)


def write_wav(path, sound, *, rate=16_000):
    """Writes `[samples]` or `[samples, channels]` in [-1, 1] as 16 bits."""
    sound, path = np.asarray(sound), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())
    return path


def write_mkv(path, *, times=(), fps=30, sound=(), codec="ffv1", last=None):
    """Writes pictures and sound at given times.

    Args:
      path: its ending is `.mkv`.
      times: in seconds; the `i`-th picture is grey, of value `10 * i`.
      fps: what the header claims.
      sound: pairs of seconds and samples at 16 kHz.
      codec: of the pictures; `ffv1` keeps them as they are.
      last: seconds that the last picture claims to last.
    """
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    packets = []
    with av.open(str(path), "w") as container:
        if times:
            video = container.add_stream(codec, rate=fps)
            video.width, video.height = 32, 16
            video.pix_fmt = "bgr0" if codec == "ffv1" else "yuvj420p"
            video.codec_context.time_base = _MS
        if sound:
            audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for i, time in enumerate(times):
            image = np.full((16, 32, 3), 10 * i % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), _MS
            packets += video.encode(frame)
        packets += video.encode() if times else []
        if last is not None:
            packets[-1].duration = round(last / packets[-1].time_base)
        for time, samples in sound:
            whole = np.round(np.asarray(samples)[None] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
            frame.rate, frame.pts = 16_000, round(time * 16_000)
            frame.time_base = Fraction(1, 16_000)
            packets += audio.encode(frame)
        packets += audio.encode() if sound else []
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


def write_png_video(path, sizes):
    """Writes black pictures, 25 a second, of which those beyond a megapixel are cut.

    Args:
      path: its ending is `.mov`.
      sizes: width and height of each picture.
    """
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("png", rate=25)
        video.width, video.height, video.pix_fmt = 32, 16, "gray"
        container.start_encoding()
        for i, (width, height) in enumerate(sizes):
            packet = av.Packet(_png(width, height))
            packet.stream, packet.time_base = video, Fraction(1, 25)
            packet.pts = packet.dts = i
            container.mux(packet)
    return path


def _png(width, height):
    lines = bytes((width + 1) * height) if width * height < 1 << 20 else b""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(lines),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )  # fmt: skip
