"""Folds of a cross-validation: every session is tested once, and nobody twice."""

from collections.abc import Sequence

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus.sessions import CorpusIndex, Session
from damamba_jax.data.corpus.splits import session_name
from damamba_jax.errors import ConfigError, CorpusError

# With so many sessions or fewer each is a fold of its own, unless a number is asked
# for; with more there are `USUAL_FOLDS`.
MOST_ALONE = 25
USUAL_FOLDS = 10


def make_folds(
    index: CorpusIndex, data: DataConfig, number: int = 0
) -> tuple[tuple[str, ...], ...]:
    """Deals the sessions of the training splits into folds.

    Args:
      index: the corpus.
      data: whose `train_splits` are dealt.
      number: of folds; 0 leaves one session out up to `MOST_ALONE` sessions, and makes
        `USUAL_FOLDS` folds of more.

    Returns:
      The names of the sessions of each fold, as `data.test_sessions` has them.

    Raises:
      ConfigError: for fewer than two folds, or more than there are sessions.
      CorpusError: if fewer than two sessions have labels.
    """
    sessions = [s for name in data.train_splits for s in index.split(name)]
    rated = [session_name(s) for s in sessions if is_rated(s)]
    if len(rated) < 2:
        raise CorpusError(
            f"`data.train_splits`: expected two sessions with annotations or more in "
            f"{', '.join(data.train_splits)}, got {len(rated)} of {len(sessions)}."
        )
    if number == 0:
        number = len(rated) if len(rated) <= MOST_ALONE else USUAL_FOLDS
    if not 2 <= number <= len(rated):
        raise ConfigError(
            f"`--folds`: expected 2 to {len(rated)}, the number of sessions with "
            f"annotations, got {number}."
        )
    return tuple(tuple(rated[first::number]) for first in range(number))


def is_rated(session: Session) -> bool:
    """Says whether anybody in a session has an annotation."""
    return any(person.labels_path is not None for person in session.participants)


def describe_folds(folds: Sequence[Sequence[str]]) -> str:
    """Says in a few words how sessions are left out."""
    sessions = sum(map(len, folds))
    if len(folds) == sessions:
        return f"{sessions} sessions, one left out at a time"
    return f"{sessions} sessions in {len(folds)} folds"
