"""Face blendshapes: 52 movements of the face, made with MediaPipe's Face Landmarker.

One face is followed through a recording. If no face is found, the row is missing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from damamba_jax.data.extraction.extractor import Describe, PictureExtractor
from damamba_jax.data.extraction.media import ROW_HZ, Shown
from damamba_jax.data.extraction.needs import (
    digest_files,
    first_line,
    load_package,
    version_of,
)
from damamba_jax.errors import ConfigError
from damamba_jax.schema.extracted import EXTRACTED_FEATURES

SOURCE = "https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker#models"


class FaceBlendshapes(PictureExtractor):
    """Describes pictures with MediaPipe."""

    feature = EXTRACTED_FEATURES["face_blendshapes"]
    model_flag = "face"

    def __init__(self, model: Path | None = None) -> None:
        if model is None or not model.is_file():
            raise ConfigError(
                "`--model.face`: expected the file face_landmarker.task, got "
                f"{model or 'nothing'}. This program downloads nothing; get the file "
                f"from {SOURCE}"
            )
        self._mediapipe = load_package(
            "mediapipe", feature="face_blendshapes", extra="extract-face"
        )
        self._file = model
        self.settings = f"{version_of('mediapipe')}, {digest_files([model])}"

    @contextmanager
    def begin(self) -> Iterator[Describe]:
        """Starts a recording; see `PictureExtractor`."""
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(self._file)),
            running_mode=tasks.vision.RunningMode.VIDEO,
            num_faces=1,
            output_face_blendshapes=True,
        )
        try:
            landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"`--model.face`: expected the file face_landmarker.task, got "
                f"{self._file}, which MediaPipe cannot load: "
                f"{first_line(error)}"
            ) from error
        # The landmarker has threads and memory of its own, which closing it frees.
        with landmarker:
            yield lambda pictures: np.stack(
                [self._describe(landmarker, shown) for shown in pictures]
            )

    def _describe(self, landmarker, shown: Shown) -> np.ndarray:
        mediapipe = self._mediapipe
        image = mediapipe.Image(
            image_format=mediapipe.ImageFormat.SRGB,
            data=np.ascontiguousarray(shown.image),
        )
        found = landmarker.detect_for_video(image, shown.start * 1000 // ROW_HZ)
        row = self.missing(1)[0]
        if found.face_blendshapes:
            for movement in found.face_blendshapes[0]:
                row[movement.index] = movement.score
        return row
