"""eGeMAPS: 88 statistics of voice quality, pitch and loudness, made with openSMILE.

As in the releases, these are functionals of eGeMAPSv02 over one second, and openSMILE
sees each window by itself. One pass over the whole recording would take a thirtieth of
the time, but it would give other numbers, because pitch and formants of a window would
then depend on the sound outside of it.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.extraction.extractor import WindowExtractor
from damamba_jax.data.extraction.media import SOUND_HZ
from damamba_jax.data.extraction.needs import load_package, version_of
from damamba_jax.schema.release import RELEASED_FEATURES

LICENCE = (
    "openSMILE is licensed by audEERING for private, research and educational use; "
    "commercial products need another licence: https://www.audeering.com"
)

# openSMILE needs at least 60 ms.
_MIN_SAMPLES = 60 * SOUND_HZ // 1000
# openSMILE rounds samples to 16 bits, and 1.0 would overflow these.
_LOUDEST = 32767 / 32768


class Egemaps(WindowExtractor):
    """Describes sound with openSMILE."""

    feature = RELEASED_FEATURES["egemaps"]
    notice = LICENCE

    def __init__(self, model: Path | None = None) -> None:
        del model  # openSMILE needs no weights.
        opensmile = load_package("opensmile", feature="egemaps", extra="extract")
        self._smile = opensmile.Smile(
            feature_set=opensmile.FeatureSet.eGeMAPSv02,
            feature_level=opensmile.FeatureLevel.Functionals,
        )
        # openSMILE lets other threads run while it works.
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self.settings = f"{version_of('opensmile')}, eGeMAPSv02, 1 s"

    def describe(self, windows: Sequence[np.ndarray]) -> Float[np.ndarray, "rows dim"]:
        """Describes windows; see `WindowExtractor`."""
        if len(windows[0]) < _MIN_SAMPLES:
            return self.missing(len(windows))
        return np.stack(list(self._pool.map(self._describe, windows)))

    def _describe(self, window: np.ndarray) -> np.ndarray:
        found = self._smile(np.clip(window, -1.0, _LOUDEST), SOUND_HZ)
        return np.asarray(found, np.float32).reshape(self.feature.dim)
