"""Splits and folds: the sessions that train, validate and test a configuration."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus.sessions import CorpusIndex, Session
from damamba_jax.errors import ConfigError, CorpusError, nearest

# Ends the names of splits that `data.test_sessions` make.
HELD_OUT = " held out"

SplitKind = Literal["test", "validation", "training", "other"]


class EvaluationSplit(NamedTuple):
    """Sessions that are scored together."""

    name: str
    kind: SplitKind
    sessions: tuple[Session, ...]


def training_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """Sessions of `data.train_splits`, without those that validate or test."""
    sessions = _of_train_splits(index, data)
    if not data.num_folds:
        return sessions
    return tuple(s for i, s in enumerate(sessions) if i % data.num_folds != data.fold)


def fold_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """Every `data.num_folds`-th training session, from `data.fold` on; or none."""
    if not data.num_folds:
        return ()
    return _of_train_splits(index, data)[data.fold :: data.num_folds]


def validation_sessions(index: CorpusIndex, data: DataConfig) -> tuple[Session, ...]:
    """The fold that validates if there is one, else `data.val_split`; or none.

    Whoever is in `data.test_sessions` chooses nothing in other sessions either.
    """
    if (fold := fold_sessions(index, data)) or not data.val_split:
        return fold
    tested = [s for s in index.sessions if session_name(s) in data.test_sessions]
    people = frozenset[str]().union(*(session.people for session in tested))
    return tuple(
        session
        for session in index.split(data.val_split)
        if session_name(session) not in data.test_sessions
        and not session.people & people
    )


def session_name(session: Session) -> str:
    """Returns the name of a session in `data.test_sessions`."""
    return f"{session.split}/{session.id}"


def test_splits(index: CorpusIndex, data: DataConfig) -> list[EvaluationSplit]:
    """Returns the sessions of `data.test_sessions`, by the split that they belong to.

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
    if not fold_sessions(index, data) and data.val_split in data.train_splits:
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
        every split of the corpus that was not trained on. A fold that validates and
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
    """The sessions of `data.train_splits` that do not test."""
    sessions = (s for name in data.train_splits for s in index.split(name))
    return tuple(s for s in sessions if session_name(s) not in data.test_sessions)
