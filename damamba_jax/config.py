"""Configuration: one `ConfigDict` from `configs/*.py` -> frozen, validated dataclasses.

This module is the only reader of `ConfigDict`. Everything else sees `Config`.
"""

import dataclasses
import difflib
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import ml_collections

T = TypeVar("T")


# Entries beyond this are missing: releases hold float32 fill values such as 3.7e19,
# while the largest measured feature (eGeMAPS) reaches 2e6.
MAX_ABS = 1e8


class ConfigError(ValueError):
    """A configuration has an unknown field, or a value out of its range."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """One feature stream of a participant.

    Args:
      name: canonical name, e.g. `"egemaps"`.
      dim: columns of the stream.
      group: modality group that it belongs to, e.g. `"audio"` or `"visual"`.
      rate: nominal sample rate, Hz. Files at another rate are read at theirs.
      stems: names under which releases store it, `{role}.{stem}.stream`.
      drop_columns: columns that never reach the model.
      missing_value: entries equal to it are missing (OpenPose writes -1).
    """

    name: str
    dim: int
    group: str
    rate: float
    stems: tuple[str, ...]
    drop_columns: tuple[int, ...] = ()
    missing_value: float | None = None

    def __post_init__(self):
        _positive(self, "dim", "rate")
        _plain_names("features", self.name)
        bad = [c for c in self.drop_columns if not 0 <= c < self.dim]
        if bad:
            raise ConfigError(
                f"`features.{self.name}.drop_columns`: expected columns in "
                f"[0, {self.dim}), got {bad}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """Where a corpus keeps its files, relative to its root.

    Patterns hold the fields `{split}`, `{session}`, `{role}` and `{stem}`.

    Args:
      name: how the corpus is called in tables, e.g. `"noxi"`.
      splits: folders searched for sessions; the name of a split is its folder's.
      roles: participants of a session, e.g. `("expert", "novice")`.
      feature_path: pattern of a stream header.
      label_path: pattern of an annotation, one value per line.
      label_rate: annotation rate, Hz.
    """

    name: str
    splits: tuple[str, ...]
    roles: tuple[str, ...]
    feature_path: str = "{split}/{session}/{role}.{stem}.stream"
    label_path: str = "{split}/{session}/{role}.engagement.annotation.csv"
    label_rate: float = 25.0

    def __post_init__(self):
        _positive(self, "label_rate")
        _plain_names("data.layout", self.name, *self.splits, *self.roles)
        if not self.roles or not self.splits:
            raise ConfigError("`layout`: `roles` and `splits` must not be empty.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """Windows of the model, counted in its own frames.

    Args:
      frame_hz: frames per second inside the model.
      window_frames: frames that the model sees.
      core_frames: frames in the middle that are scored; the rest is context.
      stride_frames: distance between the cores of neighbouring training windows.
    """

    frame_hz: float = 100.0
    window_frames: int = 96
    core_frames: int = 32
    stride_frames: int = 32

    def __post_init__(self):
        _positive(self, "frame_hz", "window_frames", "core_frames", "stride_frames")
        if self.core_frames > self.window_frames:
            raise ConfigError(
                f"`window.core_frames`: expected at most `window_frames` = "
                f"{self.window_frames}, got {self.core_frames}."
            )
        if (self.window_frames - self.core_frames) % 2:
            raise ConfigError(
                "`window`: the context on both sides must be equal; "
                f"`window_frames - core_frames` = "
                f"{self.window_frames - self.core_frames} is odd."
            )

    @property
    def context_frames(self) -> int:
        """Frames of context on each side of the core."""
        return (self.window_frames - self.core_frames) // 2

    @property
    def window_seconds(self) -> float:
        return self.window_frames / self.frame_hz


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which recordings are read, and how.

    Args:
      root: folder of the corpus; empty means the simulated corpus.
      labels_root: where annotations lie, if not beside the features.
      layout: patterns of a custom corpus; `None` recognises the released ones.
      features: the streams used, in this order.
      participants: width `P` of a batch, the target included.
      eval_participants: the same in evaluations of whole sessions, at most the people
        that a session has; 0 means `participants`. A model that was trained on pairs
        can thus be shown everybody in a group.
      train_splits: names of splits, e.g. `"noxi/train"`.
      val_split: validates during training and chooses the best checkpoint.
      eval_splits: scored at the end; empty means every split not trained on.
      num_folds, fold: with `num_folds` > 0, every `num_folds`-th session of the
        training splits, from `fold` on, is held out of training and is the validation
        split (corpora that release one split only).
      window: windows of the model.
      simulated: preset of the simulated corpus, used only when `root` is empty.
      cache_dir: binary copies of slow sources, statistics and simulated corpora.
      num_threads: threads that read batches.
      normalization: centre and spread of features: `"training"`, the training split's;
        `"session"`, each stream's own over its whole recording, where the spread is at
        least a tenth of the training split's.
    """

    root: str = ""
    labels_root: str = ""
    layout: LayoutConfig | None = None
    features: tuple[FeatureConfig, ...]
    participants: int = 2
    eval_participants: int = 0
    train_splits: tuple[str, ...] = ("noxi/train",)
    val_split: str = "noxi/val"
    eval_splits: tuple[str, ...] = ()
    num_folds: int = 0
    fold: int = 0
    window: WindowConfig
    simulated: str = "noxi"
    cache_dir: str = "runs/cache"
    num_threads: int = 2
    normalization: Literal["training", "session"] = "training"

    def __post_init__(self):
        _positive(self, "participants", "num_threads")
        _not_negative(self, "eval_participants", "num_folds", "fold")
        names = [feature.name for feature in self.features]
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                f"`data.features`: expected one feature or more, each once, got "
                f"{names}."
            )
        if self.num_folds and not 0 <= self.fold < self.num_folds:
            raise ConfigError(
                f"`data.fold`: expected [0, {self.num_folds}), got {self.fold}."
            )


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
        _positive(
            self, "dim", "num_heads", "feature_head_dim", "group_head_dim",
            "feature_ffn_dim", "group_ffn_dim",
        )  # fmt: skip
        _not_negative(self, "feature_blocks", "group_blocks", "partner_blocks")


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
        _positive(
            self, "dim", "state_dim", "expand", "conv_width", "dt_rank_divisor",
            "chunk_frames", "num_heads", "max_participants", "head_dim", "ssd_chunk",
        )  # fmt: skip
        _not_negative(
            self, "feature_blocks", "audio_blocks", "visual_blocks", "context_blocks",
            "dialogue_blocks", "dialogue_dim",
        )  # fmt: skip
        if self.dim % self.num_heads:
            raise ConfigError(
                f"`model.dim`: expected a multiple of `num_heads` = {self.num_heads}, "
                f"got {self.dim}."
            )
        _below_one(self, "dropout", "feature_dropout")
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with warm-up and cosine decay, and the loss.

    Args:
      lr: peak learning rate.
      warmup_steps: linear warm-up from 0.
      final_lr_fraction: learning rate at the last step, as a share of `lr`.
      clip_norm: global norm to which gradients are clipped.
      weight_decay: not applied to A, D, norms, biases and embeddings.
      b1, b2: decay of AdamW's moments.
      ema_decay: of the averaged parameters, reached as
        `min(ema_decay, (1 + step) / (10 + step))`.
      ccc_weight, infonce_weight: weights of the two losses; 0 leaves InfoNCE out.
      infonce_temperature: of the alignment loss.
      loss: `"ccc"`, over all frames of a batch together, or `"ccc-window"`, the mean
        of each window's own.
      center_sigma: width of a Gaussian weight of frames around the middle of their
        window, in half windows; 0 means that all count alike.
      context_weight: weight of rated context frames beside the core's 1.
    """

    lr: float = 5e-5
    warmup_steps: int = 500
    final_lr_fraction: float = 0.0
    clip_norm: float = 5.0
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.999
    ema_decay: float = 0.999
    ccc_weight: float = 1.0
    infonce_weight: float = 0.4
    infonce_temperature: float = 0.07
    loss: Literal["ccc", "ccc-window"] = "ccc"
    center_sigma: float = 0.0
    context_weight: float = 0.0

    def __post_init__(self):
        _positive(self, "lr", "clip_norm", "infonce_temperature")
        _not_negative(
            self, "warmup_steps", "final_lr_fraction", "weight_decay", "ccc_weight",
            "infonce_weight", "center_sigma", "context_weight",
        )  # fmt: skip
        _below_one(self, "b1", "b2", "ema_decay")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The run.

    Args:
      steps: optimizer steps.
      batch_size: windows per step, over all devices and processes.
      eval_every, save_every: steps between validations and between checkpoints.
      eval_batches: windows are validated in at most this many batches; 0 means all.
      log_every: steps between lines of `metrics.jsonl`.
      keep_checkpoints: newest checkpoints kept, beside the best one.
      max_bad_steps: non-finite steps in a row after which the run ends.
      tensorboard: write TensorBoard events into the workdir.
    """

    steps: int
    batch_size: int = 128
    eval_every: int = 1000
    save_every: int = 500
    eval_batches: int = 0
    log_every: int = 50
    keep_checkpoints: int = 2
    max_bad_steps: int = 20
    tensorboard: bool = False

    def __post_init__(self):
        _positive(
            self, "steps", "batch_size", "eval_every", "save_every", "log_every",
            "keep_checkpoints", "max_bad_steps",
        )  # fmt: skip
        _not_negative(self, "eval_batches")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmoothingConfig:
    """Smoothing of predictions over whole sessions; choose it on validation data.

    Args:
      kind: `"none"`; `"exponential"`, which is causal; or `"gaussian"`, without delay.
      seconds: time constant of the exponential, standard deviation of the Gaussian.
    """

    kind: Literal["none", "exponential", "gaussian"] = "none"
    seconds: float = 0.0

    def __post_init__(self):
        if not 0 <= self.seconds < math.inf or (self.kind == "none") != (
            self.seconds == 0
        ):
            raise ConfigError(
                f"`smoothing.seconds`: expected > 0 for a kind, and 0 for 'none'; got "
                f"{self.seconds} for {self.kind!r}."
            )

    def __str__(self) -> str:
        return self.kind if self.kind == "none" else f"{self.kind} {self.seconds:g} s"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a run is made of.

    Args:
      name: of the configuration, e.g. `"noxi-demo"`; names the default workdir.
      seed: of parameters, dropout and the order of the data.
      init_from: workdir whose averaged parameters start this run; empty means none.
      smoothing: of the predictions that are scored at the end, not of validation.
    """

    name: str
    seed: int = 0
    init_from: str = ""
    data: DataConfig
    model: ModelConfig
    optim: OptimConfig
    train: TrainConfig
    smoothing: SmoothingConfig = SmoothingConfig()

    def __post_init__(self):
        _not_negative(self, "seed")
        for name in ("participants", "eval_participants"):
            if getattr(self.data, name) > self.model.max_participants:
                raise ConfigError(
                    f"`data.{name}`: expected at most `model.max_participants` = "
                    f"{self.model.max_participants}, got {getattr(self.data, name)}."
                )
        system = self.model.system
        if system != "damamba" and self.optim.infonce_weight:
            raise ConfigError(
                f"`optim.infonce_weight`: {system} has no embeddings to align; "
                f"expected 0, got {self.optim.infonce_weight}."
            )
        for name in ("participants", "eval_participants"):
            people = getattr(self.data, name)
            if system == "baseline" and people > 1:
                raise ConfigError(
                    f"`data.{name}`: the baseline sees the target alone; expected 1, "
                    f"got {people}."
                )
            if system == "dat" and people == 1:
                raise ConfigError(
                    f"`data.{name}`: DAT's target attends to its partners, absent ones "
                    f"included; expected 2 or more, got 1."
                )
        causal = self.model.direction == "forward"
        if causal and self.data.normalization == "session":
            raise ConfigError(
                "`data.normalization`: 'session' reads the whole recording, which a "
                "forward model has not seen yet; set it to 'training'."
            )
        if causal and self.smoothing.kind == "gaussian":
            raise ConfigError(
                "`smoothing.kind`: 'gaussian' reads the future of a forward model; set "
                "it to 'exponential'."
            )
        if (
            causal
            and max(self.data.participants, self.data.eval_participants) > 2
            and self.model.partner_order == "concatenated"
        ):
            raise ConfigError(
                "`model.partner_order`: a forward model of more than one partner would "
                "see the first partner's future; set it to 'interleaved'."
            )


def from_config_dict(config: ml_collections.ConfigDict) -> Config:
    """Resolves `data.features` against the table `features` and validates all.

    `data.features` is a comma-separated string of names (so that it can be chosen on
    the command line); `features` maps each known name to the fields of
    `FeatureConfig`.

    Raises:
      ConfigError: for an unknown field or feature (naming the nearest known one), or
        a value out of its range.
    """
    tree = config.to_dict()
    table = tree.pop("features", {})
    data = dict(tree.get("data", {}))
    names = [name.strip() for name in data.get("features", "").split(",")]
    features = []
    for name in filter(None, names):
        if name not in table:
            raise ConfigError(
                f"`data.features`: unknown feature {name!r}{_nearest(name, table)}"
            )
        features.append({"name": name, **table[name]})
    data["features"] = features
    return from_tree({**tree, "data": data})


def check_field(config: ml_collections.ConfigDict, path: str) -> None:
    """Raises `ConfigError` unless a configuration has a field, e.g. `model.dim`."""
    group: Any = config
    for name in path.split("."):
        if not isinstance(group, ml_collections.ConfigDict) or name not in group:
            known = group if isinstance(group, ml_collections.ConfigDict) else ()
            raise ConfigError(f"`config.{path}`: unknown field{_nearest(name, known)}")
        group = group[name]


def from_tree(tree: Any) -> Config:
    """Builds `Config` from nested plain values, as `to_json` wrote them."""
    return _build(Config, tree, "config")


def to_json(config: Config) -> str:
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    return from_tree(json.loads(text))


def differences(old: Config, new: Config) -> list[str]:
    """Names the fields in which two configurations differ, as `path: old -> new`."""
    a, b = _flatten(dataclasses.asdict(old)), _flatten(dataclasses.asdict(new))
    return [
        f"{key}: {a.get(key, 'absent')!r} -> {b.get(key, 'absent')!r}"
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]


def _flatten(tree: Any, path: str = "") -> dict[str, Any]:
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, (list, tuple)) and tree:
        items = enumerate(tree)
    else:
        return {path: tree}
    flat = {}
    for key, value in items:
        flat.update(_flatten(value, f"{path}.{key}" if path else str(key)))
    return flat


def _build(cls: type[T], tree: Any, path: str) -> T:
    if not isinstance(tree, Mapping):
        raise ConfigError(f"`{path}`: expected a group of fields, got {tree!r}.")
    hints = typing.get_type_hints(cls)
    unknown = [key for key in tree if key not in hints]
    if unknown:
        raise ConfigError(
            f"`{path}.{unknown[0]}`: unknown field{_nearest(unknown[0], hints)}"
        )
    values = {
        key: _convert(hints[key], value, f"{path}.{key}") for key, value in tree.items()
    }
    missing = [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and field.name not in values
    ]
    if missing:
        raise ConfigError(f"`{path}.{missing[0]}`: required, but not given.")
    return cls(**values)


def _convert(hint: Any, value: Any, path: str) -> Any:
    """Converts one plain value to the type of its field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        if value is None:
            return None
        return _convert(args[0], value, path)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"`{path}`: expected one of {list(args)}, got {value!r}.")
        return value
    if origin is tuple:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"`{path}`: expected a list, got {value!r}.")
        return tuple(
            _convert(args[0], item, f"{path}[{i}]") for i, item in enumerate(value)
        )
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(
            f"`{path}`: expected {hint.__name__}, got {value!r} "
            f"({type(value).__name__})."
        )
    return value


def _positive(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not 0 < value < math.inf:
            raise ConfigError(f"`{_path(config, name)}`: expected > 0, got {value}.")


def _plain_names(path: str, *names: str) -> None:
    """Checks names that become parts of paths; a configuration may be untrusted."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise ConfigError(
                f"`{path}`: expected names of letters, digits, '_', '-' and '.', got "
                f"{name!r}."
            )


def _path(config: Any, name: str) -> str:
    """Names a field as its user writes it: `optim.lr`."""
    section = type(config).__name__.removesuffix("Config").lower()
    return f"{section}.{name}" if section else name


def _not_negative(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not value >= 0:
            raise ConfigError(f"`{_path(config, name)}`: expected >= 0, got {value}.")


def _below_one(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ConfigError(f"`{_path(config, name)}`: expected [0, 1), got {value}.")


def _nearest(name: str, known: Iterable[str]) -> str:
    """Ends a message about an unknown name: the one most like it, and all."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{hint} Known: {', '.join(sorted(known))}."
