"""Rows of everybody in a cross-validation, fold by fold, for classical methods.

Rows depend on the delay of the annotations. A ridge regression on a fold's training
sessions chooses the delay of the fold: it is the delay with which the regression
predicts left-out sessions of these best.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.data.corpus.splits import session_name
from damamba_jax.evaluation import classical
from damamba_jax.metrics.trace import Trace

# Sessions by their names, for each delay of the annotations.
Corpora = Mapping[float, Mapping[str, Session]]


class Person(NamedTuple):
    """The rows of one person who is rated.

    Attributes:
      session: the recording.
      seat: index of the person in the session.
      rows: the rows.
    """

    session: Session
    seat: int
    rows: classical.Rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoldRows:
    """The rows of everybody, which are read once for each delay.

    Args:
      data: configuration of the data.
      corpora: sessions for each delay.
      folds: names of the sessions of each fold.
      seed: seed of the classical methods.
      tell: function that is called for each session that is read, and for each model
        that is fitted.
    """

    data: DataConfig
    corpora: Corpora
    folds: Sequence[Sequence[str]]
    seed: int
    tell: Callable[[], None]
    _read: dict[tuple[float, int], list[Person]] = dataclasses.field(
        default_factory=dict
    )

    def of(self, fold: int, delay: float) -> list[Person]:
        """Returns the rows of the people of one fold.

        Args:
          fold: number of the fold, from 0 on.
          delay: delay of the annotations, seconds.
        """
        key = delay, fold
        if key not in self._read:
            self._read[key] = []
            for name in self.folds[fold]:
                self.tell()
                people = _read_rows(self.data, self.corpora[delay][name])
                self._read[key] += people
        return self._read[key]

    def fit(
        self, kind: str, fold: int | None, delay: float
    ) -> classical.Regressor | classical.Classifier:
        """Fits a classical method to all folds except one.

        Args:
          kind: one of `classical.KINDS`.
          fold: number of the fold that is left out; `None` leaves out none.
          delay: delay of the annotations, seconds.
        """
        others = [i for i in range(len(self.folds)) if i != fold]
        seen = [person for i in others for person in self.of(i, delay)]
        self.tell()
        return classical.fit(
            kind,
            [person.rows for person in seen],
            [session_name(person.session) for person in seen],
            seed=self.seed,
            num_classes=len(self.data.classes),
        )

    def predict(self, kind: str, fold: int, delay: float) -> list[Trace]:
        """Predicts the people of a fold by a model of all other folds."""
        model = self.fit(kind, fold, delay)
        return [
            classical.predict(model, p.rows, p.session, p.seat)
            for p in self.of(fold, delay)
        ]

    def choose_delay(self, fold: int | None) -> float:
        """Chooses the delay by the training sessions of a fold.

        If several delays are equally good, the shortest one is taken.

        Args:
          fold: number of the fold; `None` chooses by all sessions.
        """
        delays = sorted(self.corpora)
        if len(delays) == 1:
            return delays[0]
        return max(delays, key=lambda delay: self.fit("ridge", fold, delay).held_out)


def _read_rows(data: DataConfig, session: Session) -> Iterator[Person]:
    for seat, person in enumerate(session.participants):
        if person.labels_path is not None:
            rows = classical.read_rows(
                session,
                seat,
                data.features,
                window=data.window,
                cache_dir=data.cache_dir,
            )
            yield Person(session, seat, rows)
