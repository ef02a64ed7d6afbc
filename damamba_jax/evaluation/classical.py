"""Classical regressions on means and spreads, which a network has to beat.

Every turn becomes one row. If frames are rated, every half second becomes one row. A
row holds the mean and the standard deviation of each column of the person's features,
and the partners' means. Ridge regression and gradient boosting of scikit-learn learn
from these rows.

Least squares shrinks its predictions towards the mean, which lowers the CCC. So the
predictions are rescaled: over left-out training sessions, they get the mean and the
variance of the label. Penalty and scale are chosen on the training sessions alone.
"""

import dataclasses
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.config.window import WindowConfig
from damamba_jax.data.batches.statistics import missing_entries
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.evaluation.classifiers import Classifier, fit_classifier
from damamba_jax.inference.sessions import make_trace
from damamba_jax.metrics.finite import finite_mean
from damamba_jax.metrics.trace import Trace
from damamba_jax.metrics.turns import turn_classes, turn_means

# Rows per second if frames are rated. More rows would tell little more, because
# neighbouring frames are much alike.
ROWS_HZ = 2.0
PENALTIES = tuple(10.0 ** np.arange(0, 6))
NUM_FOLDS = 5


# An estimator of scikit-learn, whose pipelines have no methods for a type checker.
_Library = Any


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Regressor:
    """A fitted regression.

    Args:
      model: fitted model of scikit-learn.
      slope, intercept: affine map that is applied to the model's predictions.
      held_out: correlation with the labels of left-out training sessions; 0 if no
        session could be left out.
    """

    model: _Library
    slope: float
    intercept: float
    held_out: float

    def predict(self, inputs: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n"]:
        """Predicts the labels of rows, cut to [0, 1]."""
        if not len(inputs):
            return np.zeros(0)
        found = self.slope * self.model.predict(inputs) + self.intercept
        return np.clip(found, 0.0, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The rows of one person.

    Args:
      inputs: means and spreads; NaN where nothing was recorded.
      label: label of each row; NaN for rows that are not rated.
      first, last: first frame of the annotation that a row stands for, and the frame
        after its last one.
    """

    inputs: Float[np.ndarray, "n D"]
    label: Float[np.ndarray, "n"]
    first: Int[np.ndarray, "n"]
    last: Int[np.ndarray, "n"]


def read_rows(
    session: Session,
    seat: int,
    features: Sequence[FeatureConfig],
    *,
    window: WindowConfig,
    cache_dir: str,
) -> Rows:
    """Reads the rows of one person.

    Args:
      session: the recording.
      seat: index of the person in the session.
      features: features that are read.
      window: window of the model. If frames are rated, a row describes as much past and
        future as the model sees of a frame in the middle of a core.
      cache_dir: folder for binary copies of slow sources.
    """
    person = session.participants[seat]
    label, rate = session.annotation(seat), session.label_rate
    turns = session.turns(seat)
    if turns is not None:
        first, last = turns.first, turns.last
        start, end = first / rate, last / rate
        size = len(session.classes)
        label = turn_classes(label, turns, size) if size else turn_means(label, turns)
    else:
        first = np.arange(0, len(label), max(1, round(rate / ROWS_HZ)))
        last = np.append(first[1:], len(label))
        middle = first / rate
        half, hz = window.core_frames / 2, window.frame_hz
        start = middle - (window.past_frames + half) / hz
        end = middle + (window.future_frames + half) / hz
        label = label[first]
    own, partners = [], []
    others = [p for i, p in enumerate(session.participants) if i != seat]
    for feature in features:
        own += _describe(person, feature, start, end, cache_dir)
        means = [_describe(p, feature, start, end, cache_dir)[0] for p in others]
        if means:
            partners.append(finite_mean(np.stack(means)))
    return Rows(
        inputs=np.concatenate([*own, *partners], axis=1),
        label=np.asarray(label, np.float64),
        first=first,
        last=last,
    )


def fit(
    kind: str,
    people: Sequence[Rows],
    sessions: Sequence[Hashable],
    *,
    seed: int,
    num_classes: int = 0,
) -> Regressor | Classifier:
    """Fits a regression, or a classifier, to rated rows.

    Args:
      kind: `"ridge"` or `"boosting"`.
      people: the rows of each person who is trained on.
      sessions: the name of each person's session.
      seed: seed of the random numbers.
      num_classes: number of classes, if labels are numbers of classes; 0 if labels are
        values.

    Raises:
      ValueError: if no row is rated.
    """
    inputs = np.concatenate([p.inputs for p in people])
    label = np.concatenate([p.label for p in people])
    number = {name: i for i, name in enumerate(dict.fromkeys(sessions))}
    group = np.repeat([number[s] for s in sessions], [len(p.label) for p in people])
    rated = np.isfinite(label)
    if not rated.any():
        raise ValueError("`people`: expected a rated row to learn from, got none.")
    inputs, label, group = inputs[rated], label[rated], group[rated]
    if num_classes:
        return fit_classifier(
            kind, inputs, label.astype(np.int64), folds=_folds(group),
            num_classes=num_classes, seed=seed,
        )  # fmt: skip
    return _fit_regressor(kind, inputs, label, group, seed)


def _fit_regressor(
    kind: str,
    inputs: Float[np.ndarray, "n D"],
    label: Float[np.ndarray, "n"],
    group: Int[np.ndarray, "n"],
    seed: int,
) -> Regressor:
    from threadpoolctl import threadpool_limits

    # The tables are small: several threads would mostly wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        # A column that nobody has is useless, but it is no reason for a warning.
        warnings.filterwarnings("ignore", message="Skipping features without any")
        model = _MAKERS[kind](group, seed).fit(inputs, label)
        left_out = np.full(len(label), np.nan)
        for train, test in _folds(group):
            part = _MAKERS[kind](group[train], seed).fit(inputs[train], label[train])
            left_out[test] = part.predict(inputs[test])
    spread = float(np.nanstd(left_out)) if np.isfinite(left_out).any() else 0.0
    held_out = 0.0
    if spread > 1e-12 and label.std() > 1e-12:
        held_out = float(np.corrcoef(left_out, label)[0, 1])
    # Without any correlation the mean label is the best prediction.
    slope = float(label.std()) / spread if held_out > 0 else 0.0
    center = float(np.nanmean(left_out)) if slope else 0.0
    return Regressor(
        model=model,
        slope=slope,
        intercept=float(label.mean()) - slope * center,
        held_out=held_out,
    )


def _folds(group: Int[np.ndarray, "n"]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lists folds, each of which leaves whole sessions out; empty for one session."""
    from sklearn.model_selection import GroupKFold

    folds = min(NUM_FOLDS, len(np.unique(group)))
    if folds < 2:
        return []
    return list(GroupKFold(folds).split(group, groups=group))


def predict(
    model: Regressor | Classifier, rows: Rows, session: Session, seat: int
) -> Trace:
    """Predicts the trace of one person, in the form that a network predicts.

    Args:
      model: the fitted model.
      rows: the rows of the person.
      session: the recording.
      seat: index of the person in the session.
    """
    value = model.predict(rows.inputs)
    turns, frames = session.turns(seat), session.num_frames(seat)
    if turns is None:
        columns = value.reshape(len(value), -1).T
        time = np.arange(frames)
        found = [np.interp(time, rows.first, column) for column in columns]
        prediction = np.stack(found, axis=1).reshape(frames, *value.shape[1:])
    else:
        prediction = np.full((frames, *value.shape[1:]), np.nan)
        for first, last, one in zip(rows.first, rows.last, value, strict=True):
            prediction[first:last] = one
    return make_trace(session, seat, prediction)


def _ridge(group: Int[np.ndarray, "n"], seed: int) -> _Library:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    del seed
    ridge = RidgeCV(PENALTIES, cv=_folds(group) or None)
    return make_pipeline(SimpleImputer(), StandardScaler(), ridge)


def _boosting(group: Int[np.ndarray, "n"], seed: int) -> _Library:
    from sklearn.ensemble import HistGradientBoostingRegressor

    del group
    return HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=100, max_leaf_nodes=8, min_samples_leaf=20,
        random_state=seed,
    )  # fmt: skip


_MAKERS: dict[str, Callable[[Int[np.ndarray, "n"], int], _Library]] = {
    "ridge": _ridge,
    "boosting": _boosting,
}
KINDS = tuple(_MAKERS)


def title_of(kind: str, *, has_classes: bool) -> str:
    """Returns the name of a method in tables."""
    if kind == "ridge":
        return "logistic regression" if has_classes else "ridge regression"
    return "gradient boosting"


def _describe(
    person: Participant,
    feature: FeatureConfig,
    start: Float[np.ndarray, "n"],
    end: Float[np.ndarray, "n"],
    cache_dir: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns means and standard deviations of a feature between times.

    Both are [n, columns], without the dropped columns.
    """
    found = np.full((2, len(start), feature.dim), np.nan)
    track = person.tracks.get(feature.name)
    if track is None or not track.num_frames:
        return found[0], found[1]
    stream = track.open(cache_dir)
    first = np.clip(np.ceil(start * track.rate - 1e-6), 0, track.num_frames)
    last = np.clip(np.ceil(end * track.rate - 1e-6), 0, track.num_frames)
    for i, (a, b) in enumerate(_pairs(first, last)):
        values = np.asarray(stream.data[a:b], np.float64)
        entries, _ = missing_entries(stream.data[a:b], feature=feature)
        if stream.valid is not None:
            entries = entries | ~stream.valid[a:b, None]
        values = np.where(entries, np.nan, values)
        found[0, i] = finite_mean(values)
        found[1, i] = np.sqrt(finite_mean((values - found[0, i]) ** 2))
    keep = np.setdiff1d(np.arange(feature.dim), feature.drop_columns)
    return found[0][:, keep], found[1][:, keep]


def _pairs(first: np.ndarray, last: np.ndarray) -> Iterator[tuple[int, int]]:
    yield from zip(first.astype(int).tolist(), last.astype(int).tolist(), strict=True)
