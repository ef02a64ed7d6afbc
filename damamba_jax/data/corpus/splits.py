"""Splits and folds: the sessions that train, validate and test a configuration."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus.sessions import CorpusIndex, Session
from damamba_jax.errors import ConfigError, CorpusError, nearest

# The names of splits that are made of `data.test_sessions` end with this.
HELD_OUT = " held out"

SplitKind = Literal["test", "validation", "training", "other"]


class EvaluationSplit(NamedTuple):
    """Sessions that are scored together."""

    name: str
    kind: SplitKind
    sessions: tuple[Session, ...]


def training_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """Returns the sessions of `data.train_splits` that neither validate nor test."""
    sessions = _of_train_splits(index, data)
    if not data.num_folds:
        return sessions
    return tuple(s for i, s in enumerate(sessions) if i % data.num_folds != data.fold)


def fold_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """Returns every `data.num_folds`-th untested session of `data.train_splits`.

    The first is the one with the index `data.fold`. There are none without folds.
    """
    if not data.num_folds:
        return ()
    return _of_train_splits(index, data)[data.fold :: data.num_folds]


def validation_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """Returns the fold that validates, or, without folds, sessions of `data.val_split`.

    Sessions that are tested, or in which somebody is scored who is also scored in a
    tested session, are left out. Without a split there are none.
    """
    sessions = fold_sessions(index, data)
    if not sessions and data.val_split:
        sessions = index.split(data.val_split)
    tested = [s for s in index.sessions if session_name(s) in data.test_sessions]
    people = frozenset[str]().union(*(session.people for session in tested))
    return tuple(
        session
        for session in sessions
        if session_name(session) not in data.test_sessions
        and not session.people & people
    )


def session_name(session: Session) -> str:
    """Returns the name of a session in `data.test_sessions`."""
    return f"{session.split}/{session.id}"


def test_splits(index: CorpusIndex, data: DataConfig) -> list[EvaluationSplit]:
    """Returns the sessions of `data.test_sessions`, grouped by split.

    Raises:
      CorpusError: if one of them is not among the training splits.
    """
    if not data.test_sessions:
        return []
    known = {session_name(s): s for n in data.train_splits for s in index.split(n)}
    if missing := [name for name in data.test_sessions if name not in known]:
        raise CorpusError(
            f"`data.test_sessions`: expected sessions of {', '.join(data.train_splits)}"
            f", as `split/session`, got {missing[0]!r}{nearest(missing[0], known)}"
        )
    found: dict[str, list[Session]] = {}
    for session in map(known.__getitem__, data.test_sessions):
        found.setdefault(session.split, []).append(session)
    return [
        EvaluationSplit(f"{name}{HELD_OUT}", "test", tuple(sessions))
        for name, sessions in found.items()
    ]


def check_splits(index: CorpusIndex, data: DataConfig) -> None:
    """Checks the splits of a run: all exist, and none is used twice.

    Raises:
      CorpusError: from `index.split` if a split is unknown or empty.
      ConfigError: if a split occurs twice among the training splits, or is used both
        for training and for validation.
    """
    if len(set(data.train_splits)) < len(data.train_splits):
        raise ConfigError(
            f"`data.train_splits`: expected each split once, got "
            f"{', '.join(data.train_splits)}."
        )
    if not fold_sessions(index, data) and data.val_split in data.train_splits:
        raise ConfigError(
            f"`data.val_split`: expected a split that is not trained on, got "
            f"{data.val_split!r}, which is in `data.train_splits`. Name another one, "
            f"or hold a part of the sessions out: --config.data.num_folds=5."
        )
    training_sessions(index, data)
    validation_sessions(index, data)


def split_kind(name: str, data: DataConfig) -> SplitKind:
    """Says how a split may be used; a split that was trained on is never a test."""
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
    """Lists the splits that an evaluation covers; tests come first.

    Args:
      index: the corpus.
      data: the `data` section of the model that is evaluated.
      names: names of the splits that are asked for. If there are none, the splits of
        `data.eval_splits` count. If there are none either, every split of the corpus
        counts that was not trained on, and the fold that validates and
        `data.test_sessions` are added under names of their own.

    Returns:
      The splits; none if all sessions were trained on.

    Raises:
      CorpusError: from `index.split` for an unknown name.
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
    fold = fold_sessions(index, data)
    if fold and not asked:
        name = f"{'+'.join(data.train_splits)} fold {data.fold} of {data.num_folds}"
        splits.append(EvaluationSplit(name, "validation", fold))
    if not asked:
        splits += test_splits(index, data)
    order = ("test", "validation", "other", "training")
    return tuple(sorted(splits, key=lambda split: order.index(split.kind)))


def _of_train_splits(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """Returns the sessions of `data.train_splits` that are not tested."""
    sessions = (s for name in data.train_splits for s in index.split(name))
    return tuple(s for s in sessions if session_name(s) not in data.test_sessions)
