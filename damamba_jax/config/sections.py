"""Sections of a configuration, as frozen, validated dataclasses."""

import dataclasses
import math
from typing import Literal

from damamba_jax.config.rules import (
    check_below_one,
    check_not_negative,
    check_plain_names,
    check_positive,
)
from damamba_jax.config.systems import ModelConfig
from damamba_jax.errors import ConfigError


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
        check_positive(self, "dim", "rate")
        check_plain_names("features", self.name)
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
        check_positive(self, "label_rate")
        check_plain_names("data.layout", self.name, *self.splits, *self.roles)
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
        check_positive(
            self, "frame_hz", "window_frames", "core_frames", "stride_frames"
        )
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
        check_positive(self, "participants", "num_threads")
        check_not_negative(self, "eval_participants", "num_folds", "fold")
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
        check_positive(self, "lr", "clip_norm", "infonce_temperature")
        check_not_negative(
            self, "warmup_steps", "final_lr_fraction", "weight_decay", "ccc_weight",
            "infonce_weight", "center_sigma", "context_weight",
        )  # fmt: skip
        check_below_one(self, "b1", "b2", "ema_decay")


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
        check_positive(
            self, "steps", "batch_size", "eval_every", "save_every", "log_every",
            "keep_checkpoints", "max_bad_steps",
        )  # fmt: skip
        check_not_negative(self, "eval_batches")


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
        check_not_negative(self, "seed")
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
