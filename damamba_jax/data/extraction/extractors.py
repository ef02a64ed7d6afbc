"""All extractors, by the name of their feature."""

from collections.abc import Mapping
from pathlib import Path

from damamba_jax.data.extraction.clip import Clip
from damamba_jax.data.extraction.egemaps import Egemaps
from damamba_jax.data.extraction.extractor import Extractor
from damamba_jax.data.extraction.face_blendshapes import FaceBlendshapes
from damamba_jax.data.extraction.voice_activity import VoiceActivity
from damamba_jax.data.extraction.w2vbert2 import W2vBert2

EXTRACTORS: dict[str, type[Extractor]] = {
    kind.feature.name: kind
    for kind in (Egemaps, VoiceActivity, W2vBert2, Clip, FaceBlendshapes)
}
MODEL_FLAGS = [kind.model_flag for kind in EXTRACTORS.values() if kind.model_flag]


def make_extractor(name: str, models: Mapping[str, Path | None]) -> Extractor:
    """Makes the extractor of a feature.

    Args:
      name: name of the feature, a key of `EXTRACTORS`.
      models: files or folders of weights, by the name of the flag.

    Raises:
      ConfigError: if a package or the weights are missing; the text says what to do.
    """
    kind = EXTRACTORS[name]
    return kind(models.get(kind.model_flag))
