"""Agreement between the human raters of a corpus, the ceiling for a model's scores."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from damamba_jax.data.corpus.sessions import Session
from damamba_jax.metrics.raters import rater_agreement


class Ceiling(NamedTuple):
    """Agreement of each rater with the others.

    Attributes:
      raters: the score of each rater; empty if there is only one rater.
      measure: the name of the score, `"CCC"` or `"kappa"`.
    """

    raters: dict[str, float]
    measure: str

    def __str__(self) -> str:
        """Returns one line with the score of each rater and their mean."""
        each = ", ".join(f"{name} {value:.3f}" for name, value in self.raters.items())
        mean = sum(self.raters.values()) / len(self.raters)
        said = "mean" if self.measure == "CCC" else "choice"
        return (
            f"human ceiling, {self.measure} of each rater with the {said} of the "
            f"others: {each}; mean {mean:.3f}"
        )


def human_ceiling(
    sessions: Sequence[Session],
    *,
    is_asked: Callable[[Session, str], bool] = lambda session, role: True,
) -> Ceiling:
    """Measures how well the raters of some sessions agree.

    Args:
      sessions: sessions of one corpus.
      is_asked: tells whether the annotation of a role in a session counts.
    """
    classes = sessions[0].classes if sessions else ()
    raters = rater_agreement(
        (
            session.ratings(seat)
            for session in sessions
            for seat, person in enumerate(session.participants)
            if is_asked(session, person.role)
        ),
        num_classes=len(classes),
        ordered=bool(classes) and sessions[0].classes_ordered,
    )
    return Ceiling(raters, "kappa" if classes else "CCC")
