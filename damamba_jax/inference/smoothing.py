"""Smoothing of stitched predictions over time, which leaves gaps as they are."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.config.smoothing import SmoothingConfig
from damamba_jax.metrics.trace import Trace

# The Gaussian is cut at this many standard deviations, where 0.006 % of it is left.
CUT = 4.0


def smooth(
    prediction: Float[np.ndarray, "T"], rate: float, smoothing: SmoothingConfig
) -> Float[np.ndarray, "T"]:
    """Smooths one person's predictions. Missing frames (NaN) stay missing.

    A frame becomes the weighted mean of the frames around it that have a prediction, so
    that neither a gap nor an end of the recording pulls values towards zero.
    `"exponential"` weighs the frame itself and earlier frames by `exp(-age / seconds)`.
    `"gaussian"` weighs both sides by `exp(-(distance / seconds)^2 / 2)`, which causes
    no delay.

    Args:
      prediction: one value for each frame.
      rate: the frames per second.
      smoothing: the kind and the time constant.
    """
    if smoothing.kind == "none":
        return prediction
    there = np.isfinite(prediction)
    values = np.where(there, prediction, 0.0).astype(np.float64)
    if smoothing.kind == "exponential":
        decay = math.exp(-1.0 / (rate * smoothing.seconds))
        total, weight = _decaying_sum(values, decay), _decaying_sum(there, decay)
    else:
        frames = rate * smoothing.seconds
        reach = math.ceil(CUT * frames)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / frames) ** 2)
        total, weight = (
            np.convolve(x, kernel)[reach : reach + len(x)]
            for x in (values, there.astype(np.float64))
        )
    smoothed = np.full(len(values), np.nan)
    smoothed[there] = total[there] / weight[there]
    return smoothed.astype(prediction.dtype)


def smooth_traces(traces: Sequence[Trace], smoothing: SmoothingConfig) -> list[Trace]:
    """Smooths the prediction of every trace, or the probability of each class."""
    return [_smooth_trace(trace, smoothing) for trace in traces]


def _smooth_trace(trace: Trace, smoothing: SmoothingConfig) -> Trace:
    rate, probabilities = trace.label_rate, trace.probabilities
    if probabilities is None:
        smoothed = smooth(trace.prediction, rate, smoothing)
        return dataclasses.replace(trace, prediction=smoothed)
    columns = [smooth(column, rate, smoothing) for column in probabilities.T]
    return trace.with_probabilities(np.stack(columns, axis=1))


def _decaying_sum(values: np.ndarray, decay: float) -> np.ndarray:
    """Computes `s_t = decay s_{t-1} + values_t` for all frames."""
    found, total = np.empty(len(values)), 0.0
    for frame, value in enumerate(values.tolist()):
        total = decay * total + value
        found[frame] = total
    return found
