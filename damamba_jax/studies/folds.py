"""Folds of a cross-validation; every session with annotations is in one fold."""

from collections.abc import Sequence
from typing import Literal

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus.sessions import CorpusIndex, Session
from damamba_jax.data.corpus.splits import session_name
from damamba_jax.errors import ConfigError, CorpusError

# A fold leaves out sessions one by one, or all sessions of a person together with all
# sessions of the people who sat there too.
By = Literal["session", "person"]

# Up to this many groups, each group is a fold of its own. With more groups, there are
# `USUAL_FOLDS` folds. A number of folds that is asked for overrides both.
MOST_ALONE = 25
USUAL_FOLDS = 10


def choose_by(index: CorpusIndex, data: DataConfig, by: By | None = None) -> By:
    """Decides whether folds leave out sessions or people.

    Args:
      index: the corpus.
      data: configuration whose `train_splits` are dealt into folds.
      by: choice of the user; `None` takes people if everybody is known.

    Raises:
      ConfigError: if somebody is not known, although the user chose people or gave a
        table of people.
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
            f"{f' and {len(unknown) - 1} other seats' * (len(unknown) > 1)}. Name "
            "everybody in a table, `data.layout.people`, or leave out sessions without "
            "regard to people: --by=session."
        )
    return by or ("session" if unknown else "person")


def make_folds(
    index: CorpusIndex, data: DataConfig, number: int = 0, *, by: By = "session"
) -> tuple[tuple[str, ...], ...]:
    """Deals the sessions of the training splits into folds.

    Args:
      index: the corpus.
      data: configuration whose `train_splits` are dealt into folds.
      number: number of folds. 0 makes one fold for each session or group of sessions if
        there are at most `MOST_ALONE`, and else `USUAL_FOLDS` folds.
      by: whether to leave out sessions or people; with `"person"`, sessions that share
        a person are in one fold.

    Returns:
      The names of the sessions of each fold, as `data.test_sessions` has them. Sessions
      without annotations are in no fold, unless they share a person with a session that
      has annotations, and folds leave out people.

    Raises:
      ConfigError: for fewer than two folds, or for more folds than sessions or groups.
      CorpusError: if fewer than two sessions have labels, or if people link all
        sessions.
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
            f"people link all {len(sessions)} sessions. --by=session leaves out "
            "sessions without regard to people."
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
    """Describes in a few words how sessions are left out."""
    sessions = sum(map(len, folds))
    text = f"{sessions} sessions in {len(folds)} folds"
    if len(folds) == sessions:
        text = f"{sessions} sessions, one left out at a time"
    return f"{text}, nobody in two folds" if by == "person" else text


def _sessions(index: CorpusIndex, data: DataConfig) -> list[Session]:
    return [s for name in data.train_splits for s in index.split(name)]


def _linked(sessions: Sequence[Session]) -> list[list[Session]]:
    """Groups sessions that share people, directly or through other sessions."""
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
