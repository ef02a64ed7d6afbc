"""Concordance correlation coefficient in float64, from moments that add up."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from damamba_jax.metrics.trace import Frames, logger

# The challenge's scripts 3 and 4 add this to the denominator. Script 5 adds nothing.
EPSILON = 1e-12


def ccc(
    label: Float[np.ndarray, "T"],
    prediction: Float[np.ndarray, "T"],
    *,
    epsilon: float = EPSILON,
) -> float:
    """Computes the concordance correlation coefficient (Lin, 1989).

    It is `2 r σt σp / (σt² + σp² + (μt - μp)² + epsilon)` with population variances,
    computed in float64 through the covariance. A constant prediction gives 0 and logs a
    warning; the challenge's own correlation gives NaN for it.

    Args:
      label: the annotation.
      prediction: the prediction of the same frames.
      epsilon: the number that is added to the denominator.

    Raises:
      ValueError: if values are missing, there are no frames, or lengths differ.
    """
    frames = _checked(label, prediction)
    warn_constant(frames.prediction)
    moments = moments_of(frames, shift=float(frames.label.mean()))
    return float(ccc_of(moments[None], epsilon)[0])


# The sufficient statistics are n, Σt, Σp, Σt², Σp², Σtp, Σ(t-p)² and Σ|t-p|. They add
# up over traces and sessions: those of all sessions but one are the total minus one
# row. All values are taken relative to one `shift`, the pooled mean. Without it the
# variances would be differences of large numbers and lose their digits.
def moments_of(frames: Frames, *, shift: float) -> Float[np.ndarray, "8"]:
    """Computes the sufficient statistics of some frames, relative to `shift`."""
    t, p = frames.label - shift, frames.prediction - shift
    error = t - p
    return np.array(
        [len(t), t.sum(), p.sum(), t @ t, p @ p, t @ p, error @ error, abs(error).sum()]
    )


class _Covariances(NamedTuple):
    label: Float[np.ndarray, "R"]
    prediction: Float[np.ndarray, "R"]
    joint: Float[np.ndarray, "R"]
    offset: Float[np.ndarray, "R"]


def _covariances(moments: Float[np.ndarray, "R 8"]) -> _Covariances:
    n, t, p, tt, pp, tp = moments[:, :6].T
    return _Covariances(
        label=np.maximum(tt / n - (t / n) ** 2, 0.0),
        prediction=np.maximum(pp / n - (p / n) ** 2, 0.0),
        joint=tp / n - t * p / n**2,
        offset=(t - p) / n,
    )


def ccc_of(moments: Float[np.ndarray, "R 8"], epsilon: float) -> Float[np.ndarray, "R"]:
    """Computes the CCC of each row of moments, which is 0 where nothing varies."""
    c = _covariances(moments)
    denominator = c.label + c.prediction + c.offset**2 + epsilon
    zero = np.zeros_like(denominator)
    return np.divide(2 * c.joint, denominator, out=zero, where=denominator > 0)


def pearson_of(moments: Float[np.ndarray, "R 8"]) -> Float[np.ndarray, "R"]:
    """Computes the correlation of each row of moments, or 0 if a side is constant."""
    c = _covariances(moments)
    scale = np.sqrt(c.label * c.prediction)
    r = np.divide(c.joint, scale, out=np.zeros_like(scale), where=scale > EPSILON)
    return np.clip(r, -1.0, 1.0)


def _checked(label: np.ndarray, prediction: np.ndarray) -> Frames:
    frames = Frames(np.asarray(label, np.float64), np.asarray(prediction, np.float64))
    if frames.label.shape != frames.prediction.shape or not len(frames.label):
        raise ValueError(
            "`label`, `prediction`: expected the same length of at least 1, got "
            f"{len(frames.label)} and {len(frames.prediction)}."
        )
    for name, values in frames._asdict().items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"`{name}`: expected finite values, got "
                f"{np.count_nonzero(~np.isfinite(values))} others. Leave them out with "
                "`align_frames`."
            )
    return frames


def warn_constant(prediction: np.ndarray) -> bool:
    """Says whether a prediction is constant, and warns if it is."""
    is_constant = prediction.min() == prediction.max()
    if is_constant:
        logger.warning(
            "The prediction is constant (%g over %d frames): CCC is 0.",
            prediction[0],
            len(prediction),
        )
    return bool(is_constant)
