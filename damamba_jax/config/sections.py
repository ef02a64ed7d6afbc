"""Sections of a configuration, as frozen, validated dataclasses.

No hyperparameter has a default. Defaults mean that something is absent
(`DataConfig.layout`, `FeatureConfig.drop_columns` and `.missing_value`), or that a
corpus of its own names and rates its files as the released ones do (`LayoutConfig`).
"""

import dataclasses
from typing import ClassVar, Literal

from damamba_jax.config.fields import (
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    Section,
    check_plain_names,
    setting,
)
from damamba_jax.config.layout import LayoutConfig, TableConfig
from damamba_jax.config.rules import (
    check_alignment,
    check_causal,
    check_classes,
    check_label_unit,
    check_people,
)
from damamba_jax.config.smoothing import SmoothingConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureConfig(Section):
    """One feature stream of a participant."""

    path: ClassVar[str] = "features"

    name: str = setting("Canonical name, e.g. `egemaps`.")
    dim: int = setting("Columns of the stream.", range=POSITIVE)
    group: str = setting("Modality group, e.g. `audio` or `visual`.")
    rate: float = setting(
        "Nominal sample rate. A file at another rate is read at its own.",
        unit="Hz",
        range=POSITIVE,
    )
    stems: tuple[str, ...] = setting(
        "Names under which releases store it, `{role}.{stem}.stream`; a table needs "
        "none if its pattern has no `{stem}`.",
        default=(),
    )
    table: TableConfig | None = setting(
        "Columns of the tables that hold it; `None` for streams.", default=None
    )
    drop_columns: tuple[int, ...] = setting(
        "Columns that never reach the model, counted from 0.", default=()
    )
    missing_value: float | None = setting(
        "Entries equal to it are missing (OpenPose writes -1).", default=None
    )

    def path_of(self, name: str) -> str:
        """Returns the path of a field, e.g. `features.clip.dim`."""
        return f"{self.path}.{self.name}.{name}"

    def __post_init__(self) -> None:
        """Checks the ranges, the name and the dropped columns."""
        super().__post_init__()
        check_plain_names("features", self.name)
        bad = [c for c in self.drop_columns if not 0 <= c < self.dim]
        if bad:
            raise ConfigError(
                f"`{self.path_of('drop_columns')}`: expected columns in "
                f"[0, {self.dim}), got {bad}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowConfig(Section):
    """Windows of the model, counted in its own frames."""

    path: ClassVar[str] = "data.window"

    frame_hz: float = setting(
        "Frames per second inside the model.", unit="Hz", range=POSITIVE
    )
    past_frames: int = setting(
        "Frames of context before the core.", unit="frames", range=NOT_NEGATIVE
    )
    core_frames: int = setting("Frames that are scored.", unit="frames", range=POSITIVE)
    future_frames: int = setting(
        "Frames of context behind the core. With 0, and a past, nothing that was "
        "recorded after the core changes its scores.",
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
        """Frames that the model sees."""
        return self.past_frames + self.core_frames + self.future_frames

    @property
    def hides_future(self) -> bool:
        """Whether nothing behind the core is seen, while its past is.

        A window without any context is read as one with a future: the frames at both
        of its ends may be interpolated from the sample beyond.
        """
        return self.future_frames == 0 < self.past_frames

    @property
    def window_seconds(self) -> float:
        """Length of the window, seconds."""
        return self.window_frames / self.frame_hz


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """The recordings that are read, and how they are read."""

    path: ClassVar[str] = "data"

    root: str = setting(
        "Folder of the corpus; empty means the simulated corpus.", is_path=True
    )
    labels_root: str = setting(
        "Folder of the annotations; empty means that they lie beside the features.",
        is_path=True,
    )
    layout: LayoutConfig | None = setting(
        "Patterns of a custom corpus; `None` recognises the released ones.",
        default=None,
    )
    features: tuple[FeatureConfig, ...] = setting("The streams used, in this order.")
    participants: int = setting(
        "People in a batch, the target included.", unit="people", range=POSITIVE
    )
    eval_participants: int = setting(
        "The same in evaluations of whole sessions, at most the people that a session "
        "has; 0 means `participants`. A model that was trained on pairs can thus be "
        "shown everybody in a group.",
        unit="people",
        range=NOT_NEGATIVE,
    )
    train_splits: tuple[str, ...] = setting("Splits trained on, e.g. `noxi/train`.")
    val_split: str = setting(
        "Split that validates during training and chooses the best checkpoint; empty "
        "means none, so that the last checkpoint counts."
    )
    eval_splits: tuple[str, ...] = setting(
        "Splits scored at the end; empty means every split that is not trained on."
    )
    num_folds: int = setting(
        "With more than 0, every `num_folds`-th session of the training splits, from "
        "`fold` on, is held out of training and is the validation split, for a corpus "
        "that releases one split only.",
        range=NOT_NEGATIVE,
    )
    fold: int = setting("The fold that is held out, from 0 on.", range=NOT_NEGATIVE)
    test_sessions: tuple[str, ...] = setting(
        "Sessions of the training splits, as `split/session`, that are scored at the "
        "end alone; cross-validation names those of its fold here."
    )
    window: WindowConfig = setting("Windows of the model.")
    simulated: str = setting(
        "Preset of the simulated corpus, used only when `root` is empty."
    )
    cache_dir: str = setting(
        "Folder of binary copies of slow sources, statistics and simulated corpora.",
        is_path=True,
    )
    num_threads: int = setting("Threads that read batches.", range=POSITIVE)
    normalization: Literal["training", "session"] = setting(
        "Centre and spread of features: `training` takes the training split's; "
        "`session` takes each stream's own over its whole recording, where the spread "
        "is at least a tenth of the training split's."
    )
    label_range: tuple[float, ...] = setting(
        "Lowest and highest value of the annotations. The model sees them as 0 and 1; "
        "tables, pictures and files show them as they are."
    )
    label_delay_seconds: float = setting(
        "How much later than the behaviour its annotation comes; annotations are moved "
        "forward by it.",
        unit="s",
        range=NOT_NEGATIVE,
    )
    exclude: tuple[str, ...] = setting(
        "Files and folders below the root that are left out, by name or pattern: "
        "`train/007`, `*/ann.face.stream`."
    )
    on_error: Literal["raise", "skip"] = setting(
        "What happens to a damaged file: `raise` ends the command, `skip` leaves the "
        "file out and says so."
    )

    label_unit: Literal["frame", "turn"] = setting(
        "What is learned and scored as one: a frame, or a `turn` (utterance, interval) "
        "that was rated as a whole. The score of a turn is the mean over its frames."
    )
    classes: tuple[str, ...] = setting(
        "Names of the classes that annotations hold, such as `low,middle,high`; empty "
        "for annotations that are numbers on a scale."
    )
    classes_ordered: bool = setting(
        "Whether `classes` are steps of a scale, from the lowest to the highest. One "
        "score and the thresholds between the steps are then learned."
    )

    def __post_init__(self) -> None:
        """Checks the ranges, the names of the features and the fold."""
        super().__post_init__()
        if len(self.label_range) != 2 or not self.label_range[0] < self.label_range[1]:
            raise ConfigError(
                f"`data.label_range`: expected the lowest and the highest value, got "
                f"{self.label_range}."
            )
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

    def for_programs(self) -> "DataConfig":
        """Returns the same section without what no compiled program depends on."""
        return dataclasses.replace(
            self,
            root="",
            labels_root="",
            cache_dir="",
            train_splits=(),
            val_split="",
            eval_splits=(),
            num_folds=0,
            fold=0,
            test_sessions=(),
            simulated="",
            num_threads=1,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig(Section):
    """AdamW with warm-up and cosine decay, and the loss."""

    path: ClassVar[str] = "optim"

    lr: float = setting("Peak learning rate.", range=POSITIVE)
    warmup_steps: int = setting(
        "Length of the linear warm-up from 0.", unit="steps", range=NOT_NEGATIVE
    )
    final_lr_fraction: float = setting(
        "Learning rate at the last step, as a share of `lr`.", range=NOT_NEGATIVE
    )
    clip_norm: float = setting(
        "Global norm to which gradients are clipped.", range=POSITIVE
    )
    weight_decay: float = setting(
        "Decay of the kernels of projections, not of A, D, norms, biases and "
        "embeddings.",
        range=NOT_NEGATIVE,
    )
    b1: float = setting("Decay of AdamW's first moment.", range=BELOW_ONE)
    b2: float = setting("Decay of AdamW's second moment.", range=BELOW_ONE)
    ema_decay: float = setting(
        "Decay of the averaged parameters, reached as "
        "`min(ema_decay, (1 + step) / (10 + step))`.",
        range=BELOW_ONE,
    )
    ccc_weight: float = setting("Weight of the loss `loss`.", range=NOT_NEGATIVE)
    infonce_weight: float = setting(
        "Weight of the alignment loss; 0 leaves it out.", range=NOT_NEGATIVE
    )
    infonce_temperature: float = setting(
        "Temperature of the alignment loss.", range=POSITIVE
    )
    loss: Literal[
        "ccc", "ccc-window", "ccc-mean", "cross-entropy", "cross-entropy-mean"
    ] = setting(
        "`ccc` is the CCC over all frames of a batch together; `ccc-window` is the "
        "mean of each window's own; `ccc-mean` is the CCC over the windows' means, for "
        "labels of turns. `cross-entropy` is the one for `data.classes`, and "
        "`cross-entropy-mean` takes the mean of a window's probabilities, for turns."
    )
    class_balance: float = setting(
        "Power of the weight `n / (K n_k)` of a label of class `k` in the "
        "cross-entropy, where `n_k` of `n` training labels are of that class: 1 weighs "
        "all classes alike, 0 all labels.",
        range=NOT_NEGATIVE,
    )
    center_sigma: float = setting(
        "Width of a Gaussian weight of frames around the middle of their core; 0 "
        "means that all count alike.",
        unit="half windows",
        range=NOT_NEGATIVE,
    )
    context_weight: float = setting(
        "Weight of rated context frames, where frames of the core weigh 1.",
        range=NOT_NEGATIVE,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """The length of a run, its batches and what it writes."""

    path: ClassVar[str] = "train"

    steps: int = setting("Optimizer steps.", unit="steps", range=POSITIVE)
    batch_size: int = setting(
        "Windows of one step, over all devices and processes.",
        unit="windows",
        range=POSITIVE,
    )
    eval_every: int = setting(
        "Distance between validations.", unit="steps", range=POSITIVE
    )
    save_every: int = setting(
        "Distance between checkpoints.", unit="steps", range=POSITIVE
    )
    eval_batches: int = setting(
        "Windows are validated in at most this many batches; 0 means all.",
        unit="batches",
        range=NOT_NEGATIVE,
    )
    log_every: int = setting(
        "Distance between lines of `metrics.jsonl`.", unit="steps", range=POSITIVE
    )
    keep_checkpoints: int = setting(
        "Newest checkpoints that are kept, beside the best one.", range=POSITIVE
    )
    max_bad_steps: int = setting(
        "Non-finite steps in a row after which the run ends.",
        unit="steps",
        range=POSITIVE,
    )
    tensorboard: bool = setting("Whether TensorBoard events are written too.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Section):
    """Everything that a run is made of."""

    name: str = setting("Name of the configuration; it names the default workdir.")
    seed: int = setting(
        "Seed of parameters, dropout and the order of the data.", range=NOT_NEGATIVE
    )
    init_from: str = setting(
        "Workdir whose averaged parameters start this run; empty means none.",
        is_path=True,
    )
    data: DataConfig = setting("The recordings that are read.")
    model: SystemConfig = setting("The system and its architecture.")
    optim: OptimConfig = setting("The optimizer and the loss.")
    train: TrainConfig = setting("The run's length and what it writes.")
    smoothing: SmoothingConfig = setting(
        "Smoothing of the predictions that are scored at the end, not in validation."
    )

    def __post_init__(self) -> None:
        """Checks the ranges, and what the sections mean to each other."""
        super().__post_init__()
        data = self.data
        people = {
            data.path_of(name): getattr(data, name)
            for name in ("participants", "eval_participants")
        }
        check_people(self.model, people)
        check_alignment(self.model, self.optim.infonce_weight)
        check_label_unit(data.label_unit, self.optim.loss)
        check_classes(
            data.classes,
            label_range=data.label_range,
            loss=self.optim.loss,
        )
        check_causal(
            self.model,
            people=max(people.values()),
            normalization=data.normalization,
            smoothing=self.smoothing.kind,
            hides_future=data.window.hides_future,
        )
