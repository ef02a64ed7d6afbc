"""Results of an evaluation as records and as JSON; `reporting` shows them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from damamba_jax.data.corpus.splits import SplitKind
from damamba_jax.errors import WorkdirError
from damamba_jax.files import read_json
from damamba_jax.metrics.agreement import Agreement
from damamba_jax.metrics.classes import ClassScores
from damamba_jax.metrics.fairness import Fairness
from damamba_jax.metrics.intervals import Scores

T = TypeVar("T")

# Columns of the main table, each with the split that its scores were published for.
COLUMNS = {
    "NoXi Base": "noxi/test-base",
    "NoXi-Add": "noxi/test-additional",
    "MPIIGI": "mpiigroupinteraction/test",
}


# The columns by their split.
TITLES = {split: column for column, split in COLUMNS.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OracleReference:
    """Scores of the best possible estimator on the same simulated frames.

    Args:
      seen: data that the oracle sees, e.g. `"3.84 s window"`.
      is_transfer: whether the oracle knows the parameters of another domain than the
        split's.
      ccc: CCC of the oracle's estimate after affine rescaling. If the oracle knows the
        domain, this is the correlation of estimate and label, and no estimator can
        expect more. In a shifted domain, the rescaling is that of the training
        sessions, and the value is only a reference.
      bare_ccc: CCC of the estimate before rescaling, which is shrunk towards the mean.
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
    """The result of one split.

    Args:
      split: name of the split.
      kind: kind of the split, e.g. `"test"`.
      num_sessions: number of sessions of the split.
      num_unlabelled: number of people who were predicted but could not be scored.
      scores: scores over all frames of the split; `None` if nobody has labels.
      by_session, by_role, by_language: scores of the same frames in groups.
      ridge: scores of the per-frame ridge regression on the same frames.
      raters: agreement of each human rater with the other raters, if there are several:
        CCC, or kappa for classes.
      oracle: scores of the oracle on the same frames; `None` for recordings.
      fairness: differences between genders and languages, if they are known.
      predictions: folder that holds the predictions of unlabelled people.
      key: hash of everything that the result depends on; empty if it is not known.
      is_kept: whether the result was read from an earlier evaluation.
    """

    split: str
    kind: SplitKind
    num_sessions: int
    num_unlabelled: int = 0
    scores: Agreement | None = None
    by_session: Mapping[str, Agreement] = dataclasses.field(default_factory=dict)
    by_role: Mapping[str, Agreement] = dataclasses.field(default_factory=dict)
    by_language: Mapping[str, Agreement] = dataclasses.field(default_factory=dict)
    ridge: Agreement | None = None
    raters: Mapping[str, float] = dataclasses.field(default_factory=dict)
    oracle: OracleReference | None = None
    fairness: Fairness | None = None
    predictions: str | None = None
    key: str = ""
    is_kept: bool = dataclasses.field(default=False, compare=False)

    @property
    def share_of_oracle(self) -> float | None:
        """The model's CCC as a share of the oracle's."""
        if self.scores is None or self.oracle is None or self.oracle.ccc <= 0:
            return None
        return self.scores.value / self.oracle.ccc

    @property
    def gap_closed(self) -> float | None:
        """The model's share of the way from the ridge regression to the oracle."""
        if self.scores is None or self.oracle is None or self.ridge is None:
            return None
        gap = self.oracle.ccc - self.ridge.value
        return (self.scores.value - self.ridge.value) / gap if gap > 0 else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The results of one model on all splits.

    Args:
      method: name of the row, e.g. `"noxi-demo"`.
      step: optimizer step of the checkpoint; `None` for a mean of several models.
      protocol: `"stitched"` joins core frames; `"long"` reads a session in one pass.
      trained_on_simulated, scored_on_simulated: whether the data were simulated.
      splits: results of the splits, in the order of the tables.
      smoothing: smoothing of the predictions before they were scored, e.g.
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
        """Mark of where the data came from; see `origin_mark`."""
        return origin_mark(self.trained_on_simulated, self.scored_on_simulated)


def origin_mark(trained_on_simulated: bool, scored_on_simulated: bool) -> str:
    """Marks a row with where its data came from.

    The mark is `"simulated"` or `"ours"`. If the model was trained on the one kind of
    data and scored on the other, the mark says so.
    """
    if trained_on_simulated != scored_on_simulated:
        names = {True: "simulated", False: "recorded"}
        return (
            f"trained on {names[trained_on_simulated]}, "
            f"scored on {names[scored_on_simulated]} data"
        )
    return "simulated" if scored_on_simulated else "ours"


def to_tree(result: Result) -> dict[str, Any]:
    """Turns a result into plain values, and adds figures that are computed from it."""
    splits = [
        {
            **dataclasses.asdict(split),
            "share_of_oracle": split.share_of_oracle,
            "gap_closed": split.gap_closed,
        }
        for split in result.splits
    ]
    for split in splits:
        del split["is_kept"]
    return {**dataclasses.asdict(result), "mark": result.mark, "splits": splits}


def read_results(path: Path) -> list[Result]:
    """Reads the results in a file that an evaluation wrote.

    Raises:
      WorkdirError: if the file holds something else.
    """
    try:
        return [_read_result(tree) for tree in read_json(path)["results"]]
    except (KeyError, TypeError, ValueError) as error:
        raise WorkdirError(
            f"{path}: expected the results of an evaluation, got {error!r}; evaluate "
            "again."
        ) from error


def _read_result(tree: Mapping[str, Any]) -> Result:
    splits = tuple(_read_split(split) for split in tree["splits"])
    return _record(Result, {**tree, "splits": splits})


def _read_split(tree: Mapping[str, Any]) -> SplitResult:
    read: dict[str, Any] = dict(tree)
    for name in ("scores", "ridge"):
        read[name] = _read_scores(tree[name]) if tree[name] else None
    read["oracle"] = (
        _record(OracleReference, tree["oracle"]) if tree["oracle"] else None
    )
    fairness = tree.get("fairness")  # Older files have none.
    read["fairness"] = _record(Fairness, fairness) if fairness else None
    for name in ("by_session", "by_role", "by_language"):
        read[name] = {key: _read_scores(s) for key, s in tree[name].items()}
    return _record(SplitResult, read)


def _read_scores(tree: Mapping[str, Any]) -> Agreement:
    if "kappa" not in tree:
        return _record(Scores, tree)
    confusion = tuple(tuple(row) for row in tree["confusion"])
    classes = tuple(tree["classes"])
    return _record(ClassScores, {**tree, "confusion": confusion, "classes": classes})


def _record(cls: type[T], values: Mapping[str, Any]) -> T:
    """Makes a record from its fields; other values are computed, and are left out."""
    names = {field.name for field in dataclasses.fields(cls)}  # pyright: ignore
    return cls(**{name: value for name, value in values.items() if name in names})
