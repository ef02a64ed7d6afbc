"""Classifiers on means and spreads, for annotations that are classes.

The classifiers are a penalised logistic regression and the gradient boosting of
scikit-learn. All classes have the same weight, even rare ones. The penalty is chosen on
the training sessions alone.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

# Inverse strengths of the penalty.
STRENGTHS = tuple(10.0 ** np.arange(-4, 1))

_Folds = Sequence[tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """A fitted classifier.

    Args:
      model: fitted model of scikit-learn.
      num_classes: number of all classes. Classes without a training label count too,
        but they are never predicted.
      held_out: kappa on left-out training sessions; 0 if no session could be left out,
        or if nothing was chosen by kappa.
    """

    model: Any
    num_classes: int
    held_out: float

    def predict(self, inputs: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n K"]:
        """Predicts the probability of each class."""
        found = np.zeros((len(inputs), self.num_classes))
        if len(inputs):
            found[:, self.model.classes_] = self.model.predict_proba(inputs)
        return found


def fit_classifier(
    kind: str,
    inputs: Float[np.ndarray, "n D"],
    label: Int[np.ndarray, "n"],
    *,
    folds: _Folds,
    num_classes: int,
    seed: int,
) -> Classifier:
    """Fits a classifier to rated rows.

    Args:
      kind: `"ridge"` for the logistic regression, or `"boosting"`.
      inputs: means and spreads; NaN where nothing was recorded.
      label: number of the class of each row.
      folds: for each fold, the rows to learn from and the rows to choose by; a session
        is in one of the two only.
      num_classes: number of classes.
      seed: seed of the random numbers.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    if len(np.unique(label)) < 2:
        model = DummyClassifier(strategy="prior")
    elif kind == "ridge":
        model = _logistic([f for f in folds if len(np.unique(label[f[0]])) > 1])
    else:
        model = _boosting(seed)
    with warnings.catch_warnings(), threadpool_limits(1):
        # A column that nobody has is useless, but it is no reason for a warning.
        warnings.filterwarnings("ignore", message="Skipping features without any")
        # A weak penalty that does not converge is not chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs, label)
    return Classifier(
        model=model,
        num_classes=num_classes,
        held_out=float(getattr(model, "best_score_", 0.0)),
    )


def _logistic(folds: _Folds) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import cohen_kappa_score, make_scorer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    logistic = LogisticRegression(class_weight="balanced", max_iter=300, C=0.01)
    model = make_pipeline(SimpleImputer(), StandardScaler(), logistic)
    if not folds:
        return model
    grid = {"logisticregression__C": STRENGTHS}
    return GridSearchCV(model, grid, cv=folds, scoring=make_scorer(cohen_kappa_score))


def _boosting(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=100, max_leaf_nodes=8, min_samples_leaf=20,
        class_weight="balanced", random_state=seed,
    )  # fmt: skip
