"""Sections of a configuration, as frozen, validated dataclasses.

No hyperparameter has a default. A default means that something is absent
(`DataConfig.layout` and fields of `FeatureConfig`), or that a custom corpus has the
file names and the rates of the released corpora (`LayoutConfig`).
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
from damamba_jax.config.window import WindowConfig
from damamba_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureConfig(Section):
    """One feature stream of a participant."""

    path: ClassVar[str] = "features"

    name: str = setting("Canonical name, e.g. `egemaps`.")
    dim: int = setting("Columns of the stream.", range=POSITIVE)
    group: str = setting("Modality group, e.g. `audio` or `visual`.")
    rate: float = setting(
        "Nominal sample rate. A file of another rate is read at its own rate.",
        unit="Hz",
        range=POSITIVE,
    )
    stems: tuple[str, ...] = setting(
        "Names of the feature in file names, `{role}.{stem}.stream`. A table needs "
        "none if its pattern has no `{stem}`.",
        default=(),
    )
    table: TableConfig | None = setting(
        "Reading of the tables that hold the feature; `None` for streams.", default=None
    )
    drop_columns: tuple[int, ...] = setting(
        "Columns that never reach the model, counted from 0.", default=()
    )
    missing_value: float | None = setting(
        "Value that marks missing entries (OpenPose writes -1).", default=None
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
        "People in a batch when whole sessions are evaluated, at most the people of "
        "the session; 0 means `participants`. With this, a model that was trained on "
        "pairs can see everybody in a group.",
        unit="people",
        range=NOT_NEGATIVE,
    )
    train_splits: tuple[str, ...] = setting(
        "Splits that the model is trained on, e.g. `noxi/train`."
    )
    val_split: str = setting(
        "Split for validation during training, which chooses the best checkpoint. "
        "Empty means no validation: the last checkpoint is used."
    )
    eval_splits: tuple[str, ...] = setting(
        "Splits that are scored at the end; empty means every split that the model is "
        "not trained on."
    )
    num_folds: int = setting(
        "Number of folds, for a corpus that has only one split. If it is more than 0, "
        "every `num_folds`-th session of the training splits, from `fold` on, is held "
        "out of training and is the validation split.",
        range=NOT_NEGATIVE,
    )
    fold: int = setting(
        "Number of the fold that is held out, from 0 on.", range=NOT_NEGATIVE
    )
    test_sessions: tuple[str, ...] = setting(
        "Sessions of the training splits, as `split/session`, that are only scored at "
        "the end. A cross-validation sets this to the sessions of its fold."
    )
    window: WindowConfig = setting("Windows of the model.")
    simulated: str = setting(
        "Preset of the simulated corpus; it is used only if `root` is empty."
    )
    cache_dir: str = setting(
        "Folder of binary copies of slow sources, statistics and simulated corpora.",
        is_path=True,
    )
    num_threads: int = setting("Threads that read batches.", range=POSITIVE)
    normalization: Literal["training", "session"] = setting(
        "Source of the centre and the spread of features. `training` takes those of "
        "the training split. `session` takes those of each stream over its whole "
        "recording, with a spread of at least a tenth of the training split's."
    )
    label_range: tuple[float, ...] = setting(
        "Lowest and highest value of the annotations. The model sees them as 0 and 1; "
        "tables, pictures and files show them as they are."
    )
    label_delay_seconds: float = setting(
        "Delay of the annotations: how much later than the behaviour they come. "
        "Annotations are moved to an earlier time by this delay.",
        unit="s",
        range=NOT_NEGATIVE,
    )
    exclude: tuple[str, ...] = setting(
        "Files and folders below the root that are left out, by name or pattern, e.g. "
        "`train/007` or `*/ann.face.stream`."
    )
    on_error: Literal["raise", "skip"] = setting(
        "What happens when a file is damaged: `raise` ends the command; `skip` leaves "
        "the file out and reports it."
    )

    label_unit: Literal["frame", "turn"] = setting(
        "Unit that is learned and scored: a `frame`, or a `turn` (utterance, interval) "
        "that was rated as a whole. The score of a turn is the mean over its frames."
    )
    classes: tuple[str, ...] = setting(
        "Names of the classes in the annotations, such as `low,middle,high`; empty for "
        "annotations that are numbers on a scale."
    )
    classes_ordered: bool = setting(
        "Whether `classes` are steps of a scale, from the lowest to the highest. The "
        "model then learns one score and the thresholds between the steps."
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
        """Returns a copy in which fields that no compiled program depends on are reset.

        The copy can be a part of the key of a compiled program.
        """
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
            label_delay_seconds=0.0,
            exclude=(),
            on_error="raise",
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
        "Decay of the kernels of projections. A, D, norms, biases and embeddings do "
        "not decay.",
        range=NOT_NEGATIVE,
    )
    b1: float = setting("Decay of AdamW's first moment.", range=BELOW_ONE)
    b2: float = setting("Decay of AdamW's second moment.", range=BELOW_ONE)
    ema_decay: float = setting(
        "Decay of the averaged parameters. At each step it is "
        "`min(ema_decay, (1 + step) / (10 + step))`.",
        range=BELOW_ONE,
    )
    ccc_weight: float = setting(
        "Weight of the loss that `loss` names.", range=NOT_NEGATIVE
    )
    infonce_weight: float = setting(
        "Weight of the alignment loss; 0 leaves it out.", range=NOT_NEGATIVE
    )
    infonce_temperature: float = setting(
        "Temperature of the alignment loss.", range=POSITIVE
    )
    loss: Literal[
        "ccc", "ccc-window", "ccc-mean", "cross-entropy", "cross-entropy-mean"
    ] = setting(
        "The loss. `ccc` is the CCC over all frames of a batch together; `ccc-window` "
        "is the mean of the CCCs of single windows; `ccc-mean` is the CCC over the "
        "means of windows, for labels of turns. `cross-entropy` is for "
        "`data.classes`; `cross-entropy-mean` is the same with the mean of a window's "
        "probabilities, for turns."
    )
    class_balance: float = setting(
        "Exponent of the weight `n / (K n_k)` of a label of class `k` in the "
        "cross-entropy, where `n_k` of `n` training labels are of that class. With 1 "
        "all classes have the same weight; with 0 all labels have the same weight.",
        range=NOT_NEGATIVE,
    )
    center_sigma: float = setting(
        "Width of a Gaussian weight of frames around the middle of their core; 0 "
        "means that all frames have the same weight.",
        unit="half windows",
        range=NOT_NEGATIVE,
    )
    context_weight: float = setting(
        "Weight of context frames that have labels; frames of the core have weight 1.",
        range=NOT_NEGATIVE,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """The length of a run, its batches and the files that it writes."""

    path: ClassVar[str] = "train"

    steps: int = setting("Number of optimizer steps.", unit="steps", range=POSITIVE)
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
        "Largest number of batches of a validation; 0 means that all windows are used.",
        unit="batches",
        range=NOT_NEGATIVE,
    )
    log_every: int = setting(
        "Distance between lines of `metrics.jsonl`.", unit="steps", range=POSITIVE
    )
    keep_checkpoints: int = setting(
        "Number of newest checkpoints that are kept, in addition to the best one.",
        range=POSITIVE,
    )
    max_bad_steps: int = setting(
        "Number of steps in a row with a non-finite loss or gradient after which the "
        "run ends.",
        unit="steps",
        range=POSITIVE,
    )
    tensorboard: bool = setting("Whether TensorBoard events are written as well.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Section):
    """All settings of a run."""

    name: str = setting(
        "Name of the configuration; the default workdir has the same name."
    )
    seed: int = setting(
        "Seed of parameters, dropout and the order of the data.", range=NOT_NEGATIVE
    )
    init_from: str = setting(
        "Workdir of another run, whose averaged parameters this run starts from; empty "
        "means new parameters.",
        is_path=True,
    )
    data: DataConfig = setting("The recordings that are read.")
    model: SystemConfig = setting("The system and its architecture.")
    optim: OptimConfig = setting("The optimizer and the loss.")
    train: TrainConfig = setting("The run's length and the files that it writes.")
    smoothing: SmoothingConfig = setting(
        "Smoothing of the predictions that are scored at the end. Validation does not "
        "smooth."
    )

    def __post_init__(self) -> None:
        """Checks the ranges, and the rules across sections."""
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
