"""Rows of everybody in a cross-validation, fold by fold, for classical methods.

Rows depend on how far annotations were moved forward. Which delay suits a fold is
chosen by a ridge regression on the sessions that the fold trains on: the delay at which
it predicts sessions that were left out of these best.
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
    """The rows of somebody who is rated.

    Attributes:
      session: the recording.
      seat: index of the person in it.
      rows: the rows.
    """

    session: Session
    seat: int
    rows: classical.Rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoldRows:
    """Rows of everybody, read once for each delay.

    Args:
      data: how the corpus is read.
      corpora: the sessions.
      folds: the names of the sessions of each fold.
      seed: of what classical methods draw.
      tell: called for each session that is read, and each model that is fitted.
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
        """Returns the rows of the people of one fold."""
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
        """Fits a classical method to all folds but one, or to all of them."""
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
        """Predicts the people of a fold by a model of all others."""
        model = self.fit(kind, fold, delay)
        return [
            classical.predict(model, p.rows, p.session, p.seat)
            for p in self.of(fold, delay)
        ]

    def choose_delay(self, fold: int | None) -> float:
        """Chooses the delay by the training sessions of a fold, or by all sessions.

        Of delays that are equally good it is the shortest.
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
