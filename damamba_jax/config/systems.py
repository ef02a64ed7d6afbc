"""Architectures: one frozen, validated dataclass for each system.

No field has a default but `system`, which names the dataclass itself.
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

_SYSTEM = "Name of the system: it decides which other fields there are."
_REMAT = (
    "Recompute the activations of each block in the backward pass: less memory, more "
    "time."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemConfig(Section):
    """What every system can be set to."""

    path: ClassVar[str] = "model"

    system: str = setting(_SYSTEM)
    max_participants: int = setting(
        "People of a session that can be told apart, the target included.",
        unit="people",
        range=POSITIVE,
    )
    dropout: float = setting(
        "Share of channels that are dropped after a branch of a block, in training.",
        range=BELOW_ONE,
    )
    compute_dtype: Literal["float32", "bfloat16"] = setting(
        "Type of projections and attention. Parameters, scan state, softmax, norms and "
        "losses are always float32."
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
        """Whether a score depends on the partners, where a batch shows them."""
        return True

    @property
    def frame_multiple(self) -> int:
        """Frames to whose multiple the model fills up a sequence."""
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
        "Blocks behind the target's attention to its partners.", range=NOT_NEGATIVE
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
        "Attention heads at width `dim`; wider stacks have more, in proportion.",
        range=POSITIVE,
    )
    dialogue_dim: int = setting(
        "Width of the dialogue encoder; 0 means `dim`.", range=NOT_NEGATIVE
    )
    encoder: Literal["mamba", "transformer"] = setting(
        "`mamba` is the hybrid block; `transformer` is attention over the whole "
        "window, a row of the ablation."
    )
    direction: Literal["bidirectional", "forward"] = setting(
        "`forward` is causal, for streams."
    )
    partner_order: Literal["concatenated", "interleaved"] = setting(
        "`concatenated` puts the partners one after the other along time; "
        "`interleaved` alternates them frame by frame, as a causal model needs."
    )
    modality_fusion: bool = setting("Whether a person's modality groups are fused.")
    partner_fusion: bool = setting("Whether the target attends to its partners.")
    scan: str = setting("Implementation of the scan; empty takes the best one here.")
    ssm: Literal["mamba1", "mamba2"] = setting(
        "`mamba2` has one transition for each head and computes matrix products."
    )
    head_dim: int = setting(
        "Channels of a head of Mamba-2; they divide the inner width of every stack.",
        range=POSITIVE,
    )
    ssd_chunk: int = setting(
        "Steps of Mamba-2 that become one matrix product; it changes the speed only.",
        unit="frames",
        range=POSITIVE,
    )
    modality_dropout: float = setting(
        "In training, share of each person's windows in which a modality group is "
        "missing; never all of the groups that are there.",
        range=Range(
            "[0, 0.5], since of two groups one always stays",
            lambda value: 0 <= value <= 0.5,
        ),
    )
    feature_dropout: float = setting(
        "In training, share of each person's windows in which a feature is missing; "
        "one of each person stays.",
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
        """Whether a score depends on the partners, where a batch shows them."""
        return self.partner_fusion

    @property
    def frame_multiple(self) -> int:
        """Frames to whose multiple the model fills up a sequence."""
        return self.chunk_frames

    def __post_init__(self) -> None:
        """Checks the ranges, and that heads divide the widths."""
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
        "Width of one feature's sequence; a group is as many times as wide as it has "
        "features.",
        range=POSITIVE,
    )
    num_heads: int = setting("Attention heads everywhere.", range=POSITIVE)
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
        """Whether a score depends on the partners, where a batch shows them."""
        return False


SYSTEMS: dict[str, type[SystemConfig]] = {
    "damamba": DAMambaConfig,
    "dat": DATConfig,
    "baseline": BaselineConfig,
}
