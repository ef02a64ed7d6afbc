"""Means over finite values."""

import numpy as np
from jaxtyping import Float


def finite_mean(values: Float[np.ndarray, "n *rest"]) -> Float[np.ndarray, "*rest"]:
    """Averages the finite values along the first axis. Without any, the mean is NaN."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
