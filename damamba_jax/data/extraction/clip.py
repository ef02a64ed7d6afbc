"""CLIP ViT-B/32: embeddings of pictures, made with `transformers`.

The feature is the projected embedding of the image as the network returns it. It is not
scaled to length one.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from damamba_jax.data.extraction.extractor import Describe, PictureExtractor
from damamba_jax.data.extraction.local_models import load_local
from damamba_jax.data.extraction.media import Shown
from damamba_jax.schema.release import RELEASED_FEATURES

SOURCE = "openai/clip-vit-base-patch32"


class Clip(PictureExtractor):
    """Describes pictures with CLIP."""

    feature = RELEASED_FEATURES["clip"]
    model_flag = "clip"

    def __init__(self, model: Path | None = None) -> None:
        self._model = load_local(
            model,
            feature="clip",
            source=SOURCE,
            network="CLIPVisionModelWithProjection",
            width="projection_dim",
            dim=self.feature.dim,
            # Pillow scales pictures in the same way everywhere, and then torchvision
            # is not needed.
            preparations=["CLIPImageProcessorPil", "CLIPImageProcessor"],
        )
        self.settings = self._model.settings

    def begin(self) -> AbstractContextManager[Describe]:
        """Starts a recording; see `PictureExtractor`."""
        return nullcontext(self._describe)

    def _describe(self, pictures: Sequence[Shown]) -> np.ndarray:
        torch, network, prepare, device, _ = self._model
        images = [np.ascontiguousarray(shown.image) for shown in pictures]
        inputs = prepare(images=images, return_tensors="pt")
        with torch.inference_mode():
            embedded = network(**inputs.to(device)).image_embeds
            return embedded.float().cpu().numpy()
