"""Smoothing of predictions, as a section of a configuration or as `gaussian:1.5`."""

import dataclasses
from typing import ClassVar, Literal

from damamba_jax.config.fields import NOT_NEGATIVE, Section, setting
from damamba_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmoothingConfig(Section):
    """Smoothing of predictions over whole sessions; choose it on validation data."""

    path: ClassVar[str] = "smoothing"

    kind: Literal["none", "exponential", "gaussian"] = setting(
        "Kind of smoothing: `exponential` is causal; `gaussian` has no delay."
    )
    seconds: float = setting(
        "Time constant of the exponential, or standard deviation of the Gaussian.",
        unit="s",
        range=NOT_NEGATIVE,
    )

    def __post_init__(self) -> None:
        """Checks the ranges, and that only 'none' has a duration of 0."""
        super().__post_init__()
        if (self.kind == "none") != (self.seconds == 0):
            raise ConfigError(
                f"`smoothing.seconds`: expected 0 for 'none', and > 0 for other kinds; "
                f"got {self.seconds} for {self.kind!r}."
            )

    def __str__(self) -> str:
        """Returns e.g. `gaussian 2 s`."""
        return self.kind if self.kind == "none" else f"{self.kind} {self.seconds:g} s"


def parse_smoothing(text: str) -> SmoothingConfig:
    """Reads `none`, or `KIND:SECONDS` such as `gaussian:1.5`.

    Raises:
      ConfigError: for any other text.
    """
    kind, _, seconds = text.partition(":")
    try:
        if kind not in ("none", "exponential", "gaussian"):
            raise ValueError
        return SmoothingConfig(kind=kind, seconds=float(seconds or 0))
    except (ValueError, ConfigError) as error:
        raise ConfigError(
            f"`smoothing`: expected 'none', 'exponential:SECONDS' or "
            f"'gaussian:SECONDS', got {text!r}."
        ) from error
