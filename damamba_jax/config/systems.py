"""Architectures: one frozen, validated dataclass for each system."""

import dataclasses
from typing import Literal

from damamba_jax.config.rules import check_below_one, check_not_negative, check_positive
from damamba_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DATConfig:
    """Architecture of DAT; the symbols are those of `models/dat.py`.

    Args:
      dim: width of one feature's sequence; a group is as many times as wide as it has
        features.
      num_heads: attention heads everywhere.
      feature_head_dim: width of a head in the Transformers of single features.
      group_head_dim: width of a head in those of modality groups and of the partner.
      feature_ffn_dim, group_ffn_dim: hidden widths of their feed-forward layers.
      feature_blocks, group_blocks, partner_blocks: blocks of each Transformer.
    """

    dim: int = 512
    num_heads: int = 8
    feature_head_dim: int = 64
    group_head_dim: int = 128
    feature_ffn_dim: int = 512
    group_ffn_dim: int = 1024
    feature_blocks: int = 1
    group_blocks: int = 1
    partner_blocks: int = 1

    def __post_init__(self):
        check_positive(
            self, "dim", "num_heads", "feature_head_dim", "group_head_dim",
            "feature_ffn_dim", "group_ffn_dim",
        )  # fmt: skip
        check_not_negative(self, "feature_blocks", "group_blocks", "partner_blocks")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """Architecture of the challenge's baseline, `models/baseline.py`.

    Args:
      hidden_dims: widths of the hidden layers.
    """

    hidden_dims: tuple[int, ...] = (360, 384, 128)

    def __post_init__(self):
        if not self.hidden_dims or min(self.hidden_dims) < 1:
            raise ConfigError(
                f"`baseline.hidden_dims`: expected one width or more, each > 0, got "
                f"{self.hidden_dims}."
            )


# What DA-Mamba alone can be set to; the other systems have one form.
DAMAMBA_ONLY = (
    "encoder", "ssm", "direction", "partner_order", "modality_fusion", "partner_fusion",
    "modality_dropout", "feature_dropout",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which system, and its architecture.

    `dropout`, `remat`, `compute_dtype` and `max_participants` are every system's; `dat`
    and `baseline` are these systems' own; all else is DA-Mamba's, with the symbols of
    `models/damamba.py`.

    Args:
      system: `"damamba"`, or one that it is compared with: `"dat"` or `"baseline"`.
      dim: width of one participant's sequence.
      feature_blocks .. dialogue_blocks: hybrid blocks of each stage.
      state_dim: states per channel of the selective scan.
      expand: inner width of Mamba over its outer width.
      conv_width: taps of the causal depthwise convolution.
      dt_rank_divisor: rank of the step-size projection = width / this.
      chunk_frames: frames of one attention chunk.
      num_heads: attention heads at width `dim`; wider stacks scale with it.
      dialogue_dim: width of the dialogue encoder; 0 means `dim`.
      max_participants: people that can be told apart (embeddings).
      encoder: `"mamba"` (the hybrid block) or `"transformer"` (attention over the
        whole window, the ablation's row).
      direction: `"bidirectional"`, or `"forward"` for causal, streaming models.
      partner_order: partners concatenated along time (the paper) or interleaved
        frame by frame (what a causal model needs).
      modality_fusion, partner_fusion: the ablation's switches.
      dropout: after each branch of a block, in training.
      remat: recompute each block's activations in the backward pass.
      compute_dtype: of projections and attention; parameters, scan state, softmax,
        norms and losses are float32 always.
      scan: implementation of the scan; empty picks the best one here.
      ssm: `"mamba1"`, or `"mamba2"`: one transition per head, matrix products.
      head_dim: channels of a head of Mamba-2; divides the inner width of every stack.
      ssd_chunk: steps of Mamba-2 that become one matrix product.
      modality_dropout: in training, share of each person's windows in which a modality
        group is missing; never all of the groups that are there.
      feature_dropout: the same of single features; one of each person stays.
      dat, baseline: architectures of these systems.
    """

    system: Literal["damamba", "dat", "baseline"] = "damamba"
    dim: int = 256
    feature_blocks: int = 1
    audio_blocks: int = 2
    visual_blocks: int = 2
    context_blocks: int = 1
    dialogue_blocks: int = 2
    state_dim: int = 16
    expand: int = 2
    conv_width: int = 4
    dt_rank_divisor: int = 16
    chunk_frames: int = 16
    num_heads: int = 4
    dialogue_dim: int = 0
    max_participants: int = 4
    encoder: Literal["mamba", "transformer"] = "mamba"
    direction: Literal["bidirectional", "forward"] = "bidirectional"
    partner_order: Literal["concatenated", "interleaved"] = "concatenated"
    modality_fusion: bool = True
    partner_fusion: bool = True
    dropout: float = 0.1
    remat: bool = True
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    scan: str = ""
    ssm: Literal["mamba1", "mamba2"] = "mamba1"
    head_dim: int = 64
    ssd_chunk: int = 32
    modality_dropout: float = 0.0
    feature_dropout: float = 0.0
    dat: DATConfig = dataclasses.field(default_factory=DATConfig)
    baseline: BaselineConfig = dataclasses.field(default_factory=BaselineConfig)

    def __post_init__(self):
        check_positive(
            self, "dim", "state_dim", "expand", "conv_width", "dt_rank_divisor",
            "chunk_frames", "num_heads", "max_participants", "head_dim", "ssd_chunk",
        )  # fmt: skip
        check_not_negative(
            self, "feature_blocks", "audio_blocks", "visual_blocks", "context_blocks",
            "dialogue_blocks", "dialogue_dim",
        )  # fmt: skip
        if self.dim % self.num_heads:
            raise ConfigError(
                f"`model.dim`: expected a multiple of `num_heads` = {self.num_heads}, "
                f"got {self.dim}."
            )
        check_below_one(self, "dropout", "feature_dropout")
        if not 0 <= self.modality_dropout <= 0.5:
            raise ConfigError(
                f"`model.modality_dropout`: expected [0, 0.5], since of two groups one "
                f"always stays, got {self.modality_dropout}."
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
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if (
                field.name in DAMAMBA_ONLY
                and self.system != "damamba"
                and value != field.default
            ):
                raise ConfigError(
                    f"`model.{field.name}`: {self.system} has no such switch; expected "
                    f"{field.default!r}, got {value!r}."
                )
