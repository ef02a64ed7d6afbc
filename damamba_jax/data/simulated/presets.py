"""Presets of the simulation: domains of conversations, and corpora made of them."""

import dataclasses
from collections.abc import Mapping

from damamba_jax.data.simulated.dialogue import FRAME_HZ, Domain
from damamba_jax.errors import ConfigError, nearest
from damamba_jax.schema.release import DEMO_DIMS, REAL_DIMS

# Models are trained on conversations of the first domain alone. In the second domain
# people speak other languages: cues are weaker, noisier and have an offset, and turns
# are shorter. In the third domain groups talk: the coupling is weaker, and faces are
# seen from the side.
DOMAINS = {
    "base": Domain(),
    "additional": Domain(
        audio_gain=0.75,
        audio_bias=0.6,
        visual_bias=-0.3,
        audio_nuisance=1.1,
        artefact=8.0,
        noise=2.5,
        turn_seconds=3.0,
    ),
    "groups": Domain(
        coupling=0.6,
        visual_gain=0.7,
        visual_bias=0.5,
        visual_nuisance=0.7,
        noise=2.5,
        turn_seconds=3.0,
        backchannel_hz=0.05,
    ),
}
LANGUAGES = {
    "base": ("English", "French", "German"),
    "additional": ("Arabic", "Italian", "Indonesian", "Spanish"),
    "groups": ("German",),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitPreset:
    """Recordings of one split.

    Args:
      name: names of corpus and folder, such as `"noxi/train"`.
      sessions: number of recordings.
      seconds: length of each recording.
      domain: name of the domain in `DOMAINS`.
    """

    name: str
    sessions: int
    seconds: float
    domain: str = "base"

    def __post_init__(self):
        if self.domain not in DOMAINS:
            raise ValueError(
                f"`domain`: expected one of {', '.join(DOMAINS)}, got {self.domain!r}."
            )
        if self.sessions < 1 or self.seconds < 2:
            raise ValueError(
                "`SplitPreset`: expected at least one session of 2 s, got "
                f"{self.sessions} of {self.seconds} s."
            )

    @property
    def groups(self) -> bool:
        """Whether a recording shows three or four people, and not two."""
        return self.name.startswith("mpiigroupinteraction/")

    def roles(self, index: int) -> tuple[str, ...]:
        """Returns the seats that are taken in one recording.

        In every third group nobody takes the first seat, as in some of the release.
        """
        if not self.groups:
            return ("expert", "novice")
        return tuple(f"subjectPos{seat}" for seat in range(1 + (index % 3 == 2), 5))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A corpus that can be drawn.

    Args:
      dims: number of columns of each feature.
      splits: the splits of the corpus.
    """

    dims: Mapping[str, int]
    splits: tuple[SplitPreset, ...]

    @property
    def num_bytes(self) -> int:
        """Size of the streams on disk; labels and cues add at most about an eighth."""
        people = sum(
            split.seconds * len(split.roles(index))
            for split in self.splits
            for index in range(split.sessions)
        )
        return round(4 * FRAME_HZ * people * sum(self.dims.values()))


def _noxi(train: int, val: int, test: int, add: int, seconds: float, long: float = 0.0):
    """Makes the four splits of NoXi; `test-base` may hold longer recordings."""
    return (
        SplitPreset(name="noxi/train", sessions=train, seconds=seconds),
        SplitPreset(name="noxi/val", sessions=val, seconds=seconds),
        SplitPreset(name="noxi/test-base", sessions=test, seconds=long or seconds),
        SplitPreset(
            name="noxi/test-additional",
            sessions=add,
            seconds=seconds,
            domain="additional",
        ),
    )


def _groups(val: int, test: int, seconds: float):
    return tuple(
        SplitPreset(
            name=f"mpiigroupinteraction/{name}",
            sessions=sessions,
            seconds=seconds,
            domain="groups",
        )
        for name, sessions in (("val", val), ("test", test))
    )


def _group_test(sessions: int, seconds: float):
    return (
        SplitPreset(
            name="mpiigroupinteraction/test",
            sessions=sessions,
            seconds=seconds,
            domain="groups",
        ),
    )


# "demo" has many short recordings, because the number of people in training limits how
# good a model becomes. "ablation" has so many test recordings that the rows of a table
# differ clearly, and so many people in training that the rows come near their oracles.
# "ablation-noxi" has the real widths and takes 9 GB.
PRESETS = {
    "tiny": Preset(
        dims=DEMO_DIMS,
        splits=(
            SplitPreset(name="noxi/train", sessions=3, seconds=24.0),
            SplitPreset(name="noxi/val", sessions=2, seconds=24.0),
        ),
    ),
    "demo": Preset(dims=DEMO_DIMS, splits=_noxi(40, 5, 14, 4, 200.0)),
    "ablation": Preset(
        dims=DEMO_DIMS,
        splits=_noxi(200, 8, 10, 4, 200.0, long=600.0) + _group_test(3, 120.0),
    ),
    "ablation-noxi": Preset(
        dims=REAL_DIMS,
        splits=_noxi(40, 5, 12, 4, 200.0, long=600.0) + _group_test(4, 120.0),
    ),
    "mpiigi-demo": Preset(
        dims=DEMO_DIMS, splits=_noxi(28, 4, 6, 3, 200.0) + _groups(6, 4, 200.0)
    ),
    "noxi": Preset(dims=REAL_DIMS, splits=_noxi(9, 2, 4, 2, 150.0)),
    "mpiigi": Preset(
        dims=REAL_DIMS, splits=_noxi(5, 1, 2, 1, 120.0) + _groups(6, 2, 60.0)
    ),
}


def get_preset(preset: "Preset | str") -> Preset:
    """Looks a preset up by its name, or returns a given one.

    Raises:
      ConfigError: for an unknown name.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ConfigError(
            f"`data.simulated`: unknown preset {preset!r}{nearest(preset, PRESETS)}"
        )
    return PRESETS[preset]
