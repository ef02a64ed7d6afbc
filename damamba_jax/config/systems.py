"""Architectures: one frozen, validated dataclass for each system.

Only the field `system` has a default; it is the name of the dataclass's system.
"""

import dataclasses
from typing import ClassVar, Literal

from damamba_jax.config.fields import (
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    Range,
    Section,
    setting,
)
from damamba_jax.errors import ConfigError

_SYSTEM = "Name of the system; it decides which other fields there are."
_REMAT = (
    "Whether the backward pass computes the activations of each block again; this "
    "needs less memory and more time."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemConfig(Section):
    """Fields that every system has."""

    path: ClassVar[str] = "model"

    system: str = setting(_SYSTEM)
    max_participants: int = setting(
        "Number of people of a session that the system can tell apart, the target "
        "included.",
        unit="people",
        range=POSITIVE,
    )
    dropout: float = setting(
        "Share of channels that training drops after each branch of a block.",
        range=BELOW_ONE,
    )
    compute_dtype: Literal["float32", "bfloat16"] = setting(
        "Number type of projections and attention. Parameters, scan state, softmax, "
        "norms and losses are always float32."
    )

    @property
    def causal(self) -> bool:
        """Whether a score depends on no later frame."""
        return False

    @property
    def is_random(self) -> bool:
        """Whether the model draws random numbers in training."""
        return self.dropout > 0

    @property
    def fuses_partners(self) -> bool:
        """Whether a score depends on the partners in the batch."""
        return True

    @property
    def frame_multiple(self) -> int:
        """Number of frames; the model pads sequences to a multiple of it."""
        return 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class DAMambaConfig(SystemConfig):
    """Architecture of DA-Mamba, with the symbols of `models/damamba.py`."""

    system: Literal["damamba"] = setting(_SYSTEM, default="damamba")
    remat: bool = setting(_REMAT)
    dim: int = setting("Width of one participant's sequence.", range=POSITIVE)
    feature_blocks: int = setting("Blocks of each feature.", range=NOT_NEGATIVE)
    audio_blocks: int = setting("Blocks of the audio group.", range=NOT_NEGATIVE)
    visual_blocks: int = setting("Blocks of every other group.", range=NOT_NEGATIVE)
    context_blocks: int = setting("Blocks over the partners.", range=NOT_NEGATIVE)
    dialogue_blocks: int = setting(
        "Blocks after the target's attention to its partners.", range=NOT_NEGATIVE
    )
    state_dim: int = setting(
        "States of each channel of the selective scan.", range=POSITIVE
    )
    expand: int = setting(
        "Inner width of Mamba divided by its outer width.", range=POSITIVE
    )
    conv_width: int = setting(
        "Taps of the causal depthwise convolution.", unit="frames", range=POSITIVE
    )
    dt_rank_divisor: int = setting(
        "Width of a stack divided by the rank of its step-size projection.",
        range=POSITIVE,
    )
    chunk_frames: int = setting(
        "Length of one chunk of attention.", unit="frames", range=POSITIVE
    )
    num_heads: int = setting(
        "Attention heads at width `dim`; wider stacks have more heads, in proportion.",
        range=POSITIVE,
    )
    dialogue_dim: int = setting(
        "Width of the dialogue encoder; 0 means `dim`.", range=NOT_NEGATIVE
    )
    encoder: Literal["mamba", "transformer"] = setting(
        "Kind of block: `mamba` is the hybrid block; `transformer` is attention over "
        "the whole window, which is a row of the ablation."
    )
    direction: Literal["bidirectional", "forward"] = setting(
        "Direction of the scans: `forward` is causal, which live streams need."
    )
    partner_order: Literal["concatenated", "interleaved"] = setting(
        "Order of several partners: `concatenated` puts them one after the other along "
        "time; `interleaved` alternates them frame by frame, as a causal model needs."
    )
    modality_fusion: bool = setting("Whether a person's modality groups are fused.")
    partner_fusion: bool = setting("Whether the target attends to its partners.")
    scan: str = setting(
        "Implementation of the scan; empty takes the best one for this machine."
    )
    ssm: Literal["mamba1", "mamba2"] = setting(
        "Kind of state-space model: `mamba2` has one transition for each head, and "
        "computes it as matrix products."
    )
    head_dim: int = setting(
        "Channels of a head of Mamba-2; this number must divide the inner width of "
        "every stack.",
        range=POSITIVE,
    )
    ssd_chunk: int = setting(
        "Steps of Mamba-2 in one matrix product; this changes only the speed.",
        unit="frames",
        range=POSITIVE,
    )
    modality_dropout: float = setting(
        "In training, share of each person's windows in which a modality group is "
        "removed. One group that is there always stays.",
        range=Range(
            "[0, 0.5], because one of two groups always stays",
            lambda value: 0 <= value <= 0.5,
        ),
    )
    feature_dropout: float = setting(
        "In training, share of each person's windows in which a feature is removed. "
        "One feature of each person always stays.",
        range=BELOW_ONE,
    )

    @property
    def causal(self) -> bool:
        """Whether a score depends on no later frame."""
        return self.direction == "forward"

    @property
    def is_random(self) -> bool:
        """Whether the model draws random numbers in training."""
        return max(self.dropout, self.modality_dropout, self.feature_dropout) > 0

    @property
    def fuses_partners(self) -> bool:
        """Whether a score depends on the partners in the batch."""
        return self.partner_fusion

    @property
    def frame_multiple(self) -> int:
        """Number of frames; the model pads sequences to a multiple of it."""
        return self.chunk_frames

    def __post_init__(self) -> None:
        """Checks the ranges, and that the heads divide the widths."""
        super().__post_init__()
        if self.dim % self.num_heads:
            raise ConfigError(
                f"`model.dim`: expected a multiple of `num_heads` = {self.num_heads}, "
                f"got {self.dim}."
            )
        width = self.dialogue_dim or self.dim
        for inner in (self.expand * self.dim, self.expand * width):
            if self.ssm == "mamba2" and inner % self.head_dim:
                raise ConfigError(
                    f"`model.head_dim`: expected a divisor of the inner width {inner} "
                    f"(`expand` times the width of a stack), got {self.head_dim}."
                )
        heads = max(1, self.num_heads * width // self.dim)
        if width % heads:
            raise ConfigError(
                f"`model.dialogue_dim`: expected a multiple of its {heads} heads "
                f"(`num_heads` per `dim`), got {width}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DATConfig(SystemConfig):
    """Architecture of DAT, with the symbols of `models/dat.py`."""

    system: Literal["dat"] = setting(_SYSTEM, default="dat")
    remat: bool = setting(_REMAT)
    dim: int = setting(
        "Width of one feature's sequence. The width of a group is this number times "
        "the number of its features.",
        range=POSITIVE,
    )
    num_heads: int = setting("Attention heads of every layer.", range=POSITIVE)
    feature_head_dim: int = setting(
        "Width of a head in the Transformers of single features.", range=POSITIVE
    )
    group_head_dim: int = setting(
        "Width of a head in the Transformers of modality groups and of the partner.",
        range=POSITIVE,
    )
    feature_ffn_dim: int = setting(
        "Hidden width of the feed-forward layers of single features.", range=POSITIVE
    )
    group_ffn_dim: int = setting(
        "Hidden width of the feed-forward layers of modality groups and of the "
        "partner.",
        range=POSITIVE,
    )
    feature_blocks: int = setting("Blocks of each feature.", range=NOT_NEGATIVE)
    group_blocks: int = setting("Blocks of each modality group.", range=NOT_NEGATIVE)
    partner_blocks: int = setting(
        "Blocks in which the target attends to its partners.", range=NOT_NEGATIVE
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaselineConfig(SystemConfig):
    """Architecture of the challenge's baseline, `models/baseline.py`."""

    system: Literal["baseline"] = setting(_SYSTEM, default="baseline")
    hidden_dims: tuple[int, ...] = setting(
        "Widths of the hidden layers.",
        range=Range(
            "one width or more, each > 0",
            lambda widths: bool(widths) and min(widths) > 0,
        ),
    )

    @property
    def fuses_partners(self) -> bool:
        """Whether a score depends on the partners in the batch."""
        return False


SYSTEMS: dict[str, type[SystemConfig]] = {
    "damamba": DAMambaConfig,
    "dat": DATConfig,
    "baseline": BaselineConfig,
}
