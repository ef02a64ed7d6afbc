"""Splits and folds: the sessions that train, validate and test a configuration."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus.sessions import CorpusIndex, Session
from damamba_jax.errors import ConfigError, CorpusError

SplitKind = Literal["test", "validation", "training", "other"]


class EvaluationSplit(NamedTuple):
    """Sessions that are scored together."""

    name: str
    kind: SplitKind
    sessions: tuple[Session, ...]


def training_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """Sessions of `data.train_splits`, without the fold that is held out."""
    sessions = _of_train_splits(index, data)
    if not data.num_folds:
        return sessions
    return tuple(s for i, s in enumerate(sessions) if i % data.num_folds != data.fold)


def held_out_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """Every `data.num_folds`-th training session, from `data.fold` on; or none."""
    if not data.num_folds:
        return ()
    return _of_train_splits(index, data)[data.fold :: data.num_folds]


def validation_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """The held-out fold if there is one, else `data.val_split`."""
    return held_out_sessions(index, data) or index.split(data.val_split)


def check_splits(index: CorpusIndex, data: DataConfig) -> None:
    """Checks that a run has sessions to train and to validate on, and no session twice.

    Raises:
      CorpusError: from `index.split` for a split that is unknown or empty.
      ConfigError: for a split that is trained on twice, or trained on and validated.
    """
    if len(set(data.train_splits)) < len(data.train_splits):
        raise ConfigError(
            f"`data.train_splits`: expected each split once, got "
            f"{', '.join(data.train_splits)}."
        )
    if not data.num_folds and data.val_split in data.train_splits:
        raise ConfigError(
            f"`data.val_split`: expected a split that is not trained on, got "
            f"{data.val_split!r}, which is in `data.train_splits`. Name another one, "
            f"or hold a part of the sessions out: --config.data.num_folds=5."
        )
    training_sessions(index, data)
    validation_sessions(index, data)


def split_kind(name: str, data: DataConfig) -> SplitKind:
    """Says how a split may be used; one that was trained on is never a test."""
    if name in data.train_splits:
        return "training"
    if name == data.val_split:
        return "validation"
    folder = name.rsplit("/", 1)[-1].lower()
    if folder.startswith("test"):
        return "test"
    if folder.startswith("val"):
        return "validation"
    return "training" if folder.startswith("train") else "other"


def evaluation_splits(
    index: CorpusIndex, data: DataConfig, names: Sequence[str] = ()
) -> tuple[EvaluationSplit, ...]:
    """Lists what an evaluation covers, tests first.

    Args:
      index: the corpus.
      data: the `data` section of the model that is evaluated.
      names: splits asked for; none means `data.eval_splits`, and none there means
        every split of the corpus that was not trained on. A held-out fold is added
        under its own name.

    Raises:
      CorpusError: from `index.split` for an unknown name, or if nothing is left.
    """
    names = tuple(names) or data.eval_splits
    asked = bool(names)
    if not asked:
        found = dict.fromkeys(session.split for session in index.sessions)
        names = tuple(n for n in found if split_kind(n, data) != "training")
    splits = [
        EvaluationSplit(name, split_kind(name, data), tuple(index.split(name)))
        for name in names
    ]
    held_out = held_out_sessions(index, data)
    if held_out and not asked:
        name = f"{'+'.join(data.train_splits)} fold {data.fold} of {data.num_folds}"
        splits.append(EvaluationSplit(name, "validation", held_out))
    if not splits:
        raise CorpusError(
            f"{index.root}: expected a split beside {', '.join(data.train_splits)} to "
            "evaluate, found none; name one with `--splits`."
        )
    order = ("test", "validation", "other", "training")
    return tuple(sorted(splits, key=lambda split: order.index(split.kind)))


def _of_train_splits(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    return tuple(s for name in data.train_splits for s in index.split(name))
