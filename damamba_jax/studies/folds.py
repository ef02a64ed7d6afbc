"""Folds of a cross-validation: every session is tested once, and nobody twice."""

from collections.abc import Sequence
from typing import Literal

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus.sessions import CorpusIndex, Session
from damamba_jax.data.corpus.splits import session_name
from damamba_jax.errors import ConfigError, CorpusError

# What is left out as one: a session, or all sessions of a person and of whoever sat
# there too.
By = Literal["session", "person"]

# With so many groups or fewer each is a fold of its own, unless a number is asked for;
# with more there are `USUAL_FOLDS`.
MOST_ALONE = 25
USUAL_FOLDS = 10


def choose_by(index: CorpusIndex, data: DataConfig, by: By | None = None) -> By:
    """Decides what is left out as one.

    Args:
      index: the corpus.
      data: whose `train_splits` are dealt.
      by: what is asked for; `None` takes people where everybody is known.

    Raises:
      ConfigError: if people are asked for, or a table of them is given, and somebody is
        not known.
    """
    unknown = [
        f"{session_name(session)} {person.role}"
        for session in _sessions(index, data)
        for person in session.participants
        if person.is_target and not person.person
    ]
    is_given = data.layout is not None and bool(data.layout.people)
    if unknown and (by == "person" or (by is None and is_given)):
        raise ConfigError(
            f"`--by`: expected to know everybody, but not who sat in {unknown[0]}"
            f"{f' and {len(unknown) - 1} other seats' * (len(unknown) > 1)}. Name them "
            "in a table, `data.layout.people`, or leave sessions out, whoever sits in "
            "them: --by=session."
        )
    return by or ("session" if unknown else "person")


def make_folds(
    index: CorpusIndex, data: DataConfig, number: int = 0, *, by: By = "session"
) -> tuple[tuple[str, ...], ...]:
    """Deals the sessions of the training splits into folds.

    Args:
      index: the corpus.
      data: whose `train_splits` are dealt.
      number: of folds; 0 leaves one session, or person, out up to `MOST_ALONE` of them,
        and makes `USUAL_FOLDS` folds of more.
      by: with `"person"`, sessions that share a person are in one fold.

    Returns:
      The names of the sessions of each fold, as `data.test_sessions` has them. Those
      without annotations are left out, unless somebody in them is tested.

    Raises:
      ConfigError: for fewer than two folds, or more than there are sessions or groups.
      CorpusError: if fewer than two sessions have labels, or somebody links them all.
    """
    sessions = _sessions(index, data)
    rated = [session for session in sessions if is_rated(session)]
    if len(rated) < 2:
        raise CorpusError(
            f"`data.train_splits`: expected two sessions with annotations or more in "
            f"{', '.join(data.train_splits)}, got {len(rated)} of {len(sessions)}."
        )
    groups = [[session] for session in rated]
    if by == "person":
        groups = [g for g in _linked(sessions) if any(map(is_rated, g))]
    if len(groups) < 2:
        raise CorpusError(
            "`--by`: expected two groups of sessions or more that share nobody, but "
            f"people link all {len(sessions)} sessions. --by=session leaves sessions "
            "out, whoever sits in them."
        )
    if number == 0:
        number = len(groups) if len(groups) <= MOST_ALONE else USUAL_FOLDS
    if not 2 <= number <= len(groups):
        what = "sessions with annotations"
        if by == "person":
            what = "groups of sessions that share nobody"
        raise ConfigError(
            f"`--folds`: expected 2 to {len(groups)}, the number of {what}, got "
            f"{number}."
        )
    folds: list[list[Session]] = [[] for _ in range(number)]
    for group in sorted(groups, key=len, reverse=True):
        min(folds, key=len).extend(group)
    place = {session_name(session): i for i, session in enumerate(sessions)}
    names = [[session_name(session) for session in fold] for fold in folds]
    return tuple(tuple(sorted(fold, key=place.__getitem__)) for fold in names)


def is_rated(session: Session) -> bool:
    """Says whether anybody in a session has an annotation."""
    return any(person.labels_path is not None for person in session.participants)


def describe_folds(folds: Sequence[Sequence[str]], *, by: By = "session") -> str:
    """Says in a few words how sessions are left out."""
    sessions = sum(map(len, folds))
    text = f"{sessions} sessions in {len(folds)} folds"
    if len(folds) == sessions:
        text = f"{sessions} sessions, one left out at a time"
    return f"{text}, nobody in two folds" if by == "person" else text


def _sessions(index: CorpusIndex, data: DataConfig) -> list[Session]:
    return [s for name in data.train_splits for s in index.split(name)]


def _linked(sessions: Sequence[Session]) -> list[list[Session]]:
    """Groups sessions that share people, directly or over others."""
    groups: list[tuple[set[str], list[Session]]] = []
    for session in sessions:
        people, members = set(session.people), [session]
        apart = []
        for group in groups:
            if group[0] & people:
                people |= group[0]
                members = [*group[1], *members]
            else:
                apart.append(group)
        groups = [*apart, (people, members)]
    return [members for _, members in groups]
