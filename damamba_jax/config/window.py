"""The windows of the model: core, past and future."""

import dataclasses
from typing import ClassVar

from damamba_jax.config.fields import NOT_NEGATIVE, POSITIVE, Section, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowConfig(Section):
    """Windows of the model, counted in frames of the model."""

    path: ClassVar[str] = "data.window"

    frame_hz: float = setting(
        "Frames per second inside the model.", unit="Hz", range=POSITIVE
    )
    past_frames: int = setting(
        "Frames of context before the core.", unit="frames", range=NOT_NEGATIVE
    )
    core_frames: int = setting("Frames that are scored.", unit="frames", range=POSITIVE)
    future_frames: int = setting(
        "Frames of context after the core. If this is 0 and there is a past, nothing "
        "that was recorded after the core changes its scores.",
        unit="frames",
        range=NOT_NEGATIVE,
    )
    stride_frames: int = setting(
        "Distance between the cores of neighbouring training windows.",
        unit="frames",
        range=POSITIVE,
    )

    @property
    def window_frames(self) -> int:
        """Number of frames that the model sees."""
        return self.past_frames + self.core_frames + self.future_frames

    @property
    def hides_future(self) -> bool:
        """Whether the model sees frames before the core, and none after it.

        A window without any context does not hide the future: the frames at both of
        its ends may be interpolated from the next sample outside the window.
        """
        return self.future_frames == 0 < self.past_frames

    @property
    def window_seconds(self) -> float:
        """Length of the window in seconds."""
        return self.window_frames / self.frame_hz
