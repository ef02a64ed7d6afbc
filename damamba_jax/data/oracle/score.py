"""The best score that any estimator can reach on a simulated corpus.

A smoother that knows the generator's parameters (`smoother.py`) sees the cues before
they were lifted into features. Its estimate correlates with the annotation by `r`, and
no estimator that sees the same part of the recording does better, up to sampling error.
The best CCC is `r` too: the estimate is shrunk, and only after stretching it by `1 / r`
does its variance fit. Unstretched it scores `2 r^2 / (1 + r^2)` in expectation.

In shifted domains (other languages, groups) the smoother keeps the parameters of the
base domain: the *transfer* oracle, what knowing the training domain perfectly is worth
there. It is a yardstick, not a bound.
"""

import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.config.sections import WindowConfig
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
    """How well the oracle does on one split.

    Attributes:
      r: correlation of estimate and annotation over all scored frames; the ceiling.
      ccc: CCC of the estimate rescaled by the affine map that is best on training
        sessions; NaN when the corpus has no training split.
      bare_ccc: CCC of the posterior mean as it is.
      num_frames: scored frames.
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
    """Scores the oracle on the frames of a split that carry an annotation.

    Args:
      root: folder of the corpus (the one with `simulated.json`).
      split: e.g. `"noxi/test-base"`.
      window: each frame is estimated from the window whose core it lies in, as the
        model does it; `None` means from the whole recording.
      groups: modality groups that are seen.
      partners: whether the partners are seen, or the target alone.
      causal: estimate from the past and the present only.

    Raises:
      ValueError: if `root` is no simulated corpus, or for an unknown split or group.
    """
    view = View(tuple(groups), partners, causal)
    return _score_view(os.path.abspath(root), split, view, window)


# Models of several seeds are compared with one and the same oracle.
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
    """Scores pooled estimates; `scale` is `fit_scale`'s, from other recordings."""
    return OracleScore(
        r=float(np.corrcoef(estimate, label)[0, 1]),
        ccc=_ccc(scale[0] * estimate + scale[1], label) if scale else float("nan"),
        bare_ccc=_ccc(estimate, label),
        num_frames=len(label),
    )


def fit_scale(
    estimate: Float[np.ndarray, "N"], label: Float[np.ndarray, "N"]
) -> tuple[float, float]:
    """Slope and intercept that make the CCC of pooled estimates best."""
    slope = float(label.std() / estimate.std())
    return slope, float(label.mean() - slope * estimate.mean())


def pooled(
    recordings: Sequence[Cues], values: Sequence[Float[np.ndarray, "_ _"]]
) -> Float[np.ndarray, "N"]:
    """Concatenates per-recording `[P, T]` values on the annotated frames."""
    return np.concatenate(
        [
            value[np.isfinite(recording.label)]
            for recording, value in zip(recordings, values, strict=True)
        ]
    )


def pooled_labels(recordings: Sequence[Cues]) -> Float[np.ndarray, "N"]:
    """Concatenates the annotations, as `pooled` does the estimates."""
    return pooled(recordings, [recording.label for recording in recordings])


def training_cues(root: str | os.PathLike) -> list[Cues]:
    """Recordings that scales and regressions are fitted on; empty without a `train`."""
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
