"""w2v-BERT 2.0: states of a network of 600 M parameters, made with `transformers`.

As in the releases, a row is the mean of the last hidden state over one second.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.data.extraction.extractor import WindowExtractor
from damamba_jax.data.extraction.local_models import load_local
from damamba_jax.data.extraction.media import SOUND_HZ
from damamba_jax.schema.release import RELEASED_FEATURES

SOURCE = "facebook/w2v-bert-2.0"

# A signal to stop is obeyed after a batch, and on a CPU so many windows take seconds.
_CPU_BATCH, _GPU_BATCH = 8, 128


class W2vBert2(WindowExtractor):
    """Describes sound with w2v-BERT 2.0."""

    feature = RELEASED_FEATURES["w2vbert2"]
    model_flag = "w2vbert2"

    def __init__(self, model: Path | None = None) -> None:
        self._model = load_local(
            model,
            feature="w2vbert2",
            source=SOURCE,
            network="Wav2Vec2BertModel",
            width="hidden_size",
            dim=self.feature.dim,
            preparations=["SeamlessM4TFeatureExtractor"],
        )
        self.batch = _CPU_BATCH if self._model.device == "cpu" else _GPU_BATCH
        self.settings = f"{self._model.settings}, 1 s"

    def describe(self, windows: Sequence[np.ndarray]) -> Float[np.ndarray, "rows dim"]:
        """Describes windows; see `WindowExtractor`."""
        torch, network, prepare, device, _ = self._model
        inputs = prepare(list(windows), sampling_rate=SOUND_HZ, return_tensors="pt")
        with torch.inference_mode():
            states = network(**inputs.to(device)).last_hidden_state
            return states.mean(dim=1).float().cpu().numpy()
