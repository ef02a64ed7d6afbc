"""The best score that any estimator can reach on a simulated corpus.

A smoother that knows the generator's parameters (`smoother.py`) sees the cues that the
features are made of. Its estimate correlates with the annotation by `r`, and no
estimator that sees the same part of the recording does better, up to sampling error.
The best CCC is `r` too. It is reached if the estimate, whose variance is too small, is
stretched by `1 / r`. Without this its CCC is `2 r^2 / (1 + r^2)` in expectation.

In shifted domains (other languages, groups) the smoother keeps the parameters of the
base domain. This *transfer* oracle shows what perfect knowledge of the training domain
is worth in another domain. Other estimators can do better there.
"""

import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.config.window import WindowConfig
from damamba_jax.data.oracle.views import (
    Cues,
    View,
    estimates,
    is_shifted,
    list_splits,
    load_cues,
)

__all__ = [
    "OracleScore",
    "fit_scale",
    "is_shifted",
    "list_splits",
    "oracle_ccc",
    "pooled",
    "pooled_labels",
    "score",
    "training_cues",
]

# The stretch is fitted on at most so many training recordings.
_FIT_SESSIONS = 8


class OracleScore(NamedTuple):
    """The scores of the oracle on one split.

    Attributes:
      r: correlation of estimate and annotation over all scored frames; this is the
        ceiling for every estimator.
      ccc: CCC of the estimate after the affine map that is best on training sessions;
        NaN if the corpus has no training split.
      bare_ccc: CCC of the posterior mean as it is.
      num_frames: number of scored frames.
    """

    r: float
    ccc: float
    bare_ccc: float
    num_frames: int


def oracle_ccc(
    root: str | os.PathLike,
    split: str,
    *,
    window: WindowConfig | None = None,
    groups: Sequence[str] = ("audio", "visual"),
    partners: bool = True,
    causal: bool = False,
) -> OracleScore:
    """Scores the oracle on the frames of a split that have an annotation.

    Args:
      root: folder of the corpus, in which `simulated.json` lies.
      split: name of the split, such as `"noxi/test-base"`.
      window: the window of the model; each frame is estimated from the window whose
        core holds it. `None` estimates each frame from the whole recording.
      groups: modality groups that the oracle sees.
      partners: whether the oracle sees the partners, too.
      causal: whether the oracle sees only the past and the present.

    Raises:
      ValueError: if `root` is not a simulated corpus, or for an unknown split or group.
    """
    view = View(tuple(groups), partners, causal)
    return _score_view(os.path.abspath(root), split, view, window)


# Results are kept, since models with several seeds are compared with the same oracle.
@functools.lru_cache(maxsize=64)
def _score_view(
    root: str, split: str, view: View, window: WindowConfig | None
) -> OracleScore:
    recordings = load_cues(root, split)
    (estimate,) = estimates(recordings, [view], window=window)
    return score(
        pooled(recordings, estimate),
        pooled_labels(recordings),
        _fit_on_train(root, view, window),
    )


def score(
    estimate: Float[np.ndarray, "N"],
    label: Float[np.ndarray, "N"],
    scale: tuple[float, float] | None,
) -> OracleScore:
    """Scores pooled estimates.

    Args:
      estimate: estimates of the annotated frames.
      label: annotations of these frames.
      scale: slope and intercept that `fit_scale` found on other recordings; `None`
        leaves out the CCC of rescaled estimates.
    """
    return OracleScore(
        r=float(np.corrcoef(estimate, label)[0, 1]),
        ccc=_ccc(scale[0] * estimate + scale[1], label) if scale else float("nan"),
        bare_ccc=_ccc(estimate, label),
        num_frames=len(label),
    )


def fit_scale(
    estimate: Float[np.ndarray, "N"], label: Float[np.ndarray, "N"]
) -> tuple[float, float]:
    """Returns the slope and the intercept with which pooled estimates fit the labels.

    The rescaled estimates have the mean and the variance of the labels, which makes
    their CCC as large as their correlation.
    """
    slope = float(label.std() / estimate.std())
    return slope, float(label.mean() - slope * estimate.mean())


def pooled(
    recordings: Sequence[Cues], values: Sequence[Float[np.ndarray, "_ _"]]
) -> Float[np.ndarray, "N"]:
    """Concatenates the values, `[P, T]` per recording, of all annotated frames."""
    return np.concatenate(
        [
            value[np.isfinite(recording.label)]
            for recording, value in zip(recordings, values, strict=True)
        ]
    )


def pooled_labels(recordings: Sequence[Cues]) -> Float[np.ndarray, "N"]:
    """Concatenates the annotations in the same way as `pooled` does estimates."""
    return pooled(recordings, [recording.label for recording in recordings])


def training_cues(root: str | os.PathLike) -> list[Cues]:
    """Reads the recordings that scales and regressions are fitted on.

    There are none if the corpus has no split `train`.
    """
    train = [name for name in list_splits(root) if name.endswith("/train")]
    return load_cues(root, train[0])[:_FIT_SESSIONS] if train else []


@functools.lru_cache(maxsize=64)
def _fit_on_train(
    root: str, view: View, window: WindowConfig | None
) -> tuple[float, float] | None:
    recordings = training_cues(root)
    if not recordings:
        return None
    (estimate,) = estimates(recordings, [view], window=window)
    return fit_scale(pooled(recordings, estimate), pooled_labels(recordings))


def _ccc(estimate: np.ndarray, label: np.ndarray) -> float:
    covariance = np.cov(estimate, label, bias=True)
    distance = (estimate.mean() - label.mean()) ** 2
    return float(2 * covariance[0, 1] / (np.trace(covariance) + distance))
