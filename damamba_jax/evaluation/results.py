"""Records of what an evaluation found; `reporting` makes tables of them."""

import dataclasses
from collections.abc import Mapping

from damamba_jax.data.corpus.splits import SplitKind
from damamba_jax.metrics.intervals import Scores

# The main table's columns and the splits that they were published for.
COLUMNS = {
    "NoXi Base": "noxi/test-base",
    "NoXi-Add": "noxi/test-additional",
    "MPIIGI": "mpiigroupinteraction/test",
}


# The same by split.
TITLES = {split: column for column, split in COLUMNS.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OracleReference:
    """What the best possible estimator reaches on the same simulated frames.

    Args:
      seen: what it was given, e.g. `"3.84 s window"`.
      is_transfer: the split's domain is not the one whose parameters it knows.
      ccc: the CCC of the oracle's estimate after affine rescaling. Where the oracle
        knows the domain this is the correlation of estimate and label, the ceiling of
        every estimator; in a shifted domain the rescaling is that of the training
        sessions, a yardstick.
      bare_ccc: CCC of the estimate as it is, shrunk towards the mean.
    """

    seen: str
    is_transfer: bool
    ccc: float
    bare_ccc: float

    @property
    def name(self) -> str:
        """Name of the row in tables."""
        return f"{'transfer ' * self.is_transfer}oracle, {self.seen}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitResult:
    """One split, scored; without `scores` nobody in it has labels.

    Args:
      num_sessions: sessions of the split.
      num_unlabelled: people who were predicted but could not be scored.
      by_session, by_role, by_language: the same frames in groups.
      ridge: scores of the per-frame ridge regression on the same frames.
      predictions: folder that holds the predictions of unlabelled people.
    """

    split: str
    kind: SplitKind
    num_sessions: int
    num_unlabelled: int = 0
    scores: Scores | None = None
    by_session: Mapping[str, Scores] = dataclasses.field(default_factory=dict)
    by_role: Mapping[str, Scores] = dataclasses.field(default_factory=dict)
    by_language: Mapping[str, Scores] = dataclasses.field(default_factory=dict)
    ridge: Scores | None = None
    oracle: OracleReference | None = None
    predictions: str | None = None

    @property
    def share_of_oracle(self) -> float | None:
        """Our CCC as a share of the oracle's."""
        if self.scores is None or self.oracle is None or self.oracle.ccc <= 0:
            return None
        return self.scores.ccc / self.oracle.ccc

    @property
    def gap_closed(self) -> float | None:
        """Share of the way from the per-frame ridge regression to the oracle."""
        if self.scores is None or self.oracle is None or self.ridge is None:
            return None
        gap = self.oracle.ccc - self.ridge.ccc
        return (self.scores.ccc - self.ridge.ccc) / gap if gap > 0 else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One model on every split that was found.

    Args:
      method: name of the row, e.g. `"noxi-demo"`.
      step: optimizer step of the checkpoint; `None` for a mean of several models.
      protocol: `"stitched"` from core frames, or one `"long"` pass per session.
      trained_on_simulated, scored_on_simulated: where the data came from.
      splits: in the order of the tables.
      smoothing: the smoothing of the predictions before they were scored, e.g.
        `"gaussian 1 s"`.
    """

    method: str
    step: int | None
    protocol: str
    trained_on_simulated: bool
    scored_on_simulated: bool
    splits: tuple[SplitResult, ...]
    smoothing: str = "none"

    @property
    def mark(self) -> str:
        """How the row is to be read, as `origin_mark` says it."""
        return origin_mark(self.trained_on_simulated, self.scored_on_simulated)


def origin_mark(trained_on_simulated: bool, scored_on_simulated: bool) -> str:
    """How a row is to be read: `"simulated"`, `"ours"`, or the mismatch."""
    if trained_on_simulated != scored_on_simulated:
        names = {True: "simulated", False: "recorded"}
        return (
            f"trained on {names[trained_on_simulated]}, "
            f"scored on {names[scored_on_simulated]} data"
        )
    return "simulated" if scored_on_simulated else "ours"
