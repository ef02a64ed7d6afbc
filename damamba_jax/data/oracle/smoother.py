"""Kalman smoothing of many conversations, or windows of them, at once.

The state is that of `dialogue.py`, ordered [process, person]: engagement, low-pass, two
nuisances, artefact, two offsets. The batch is the *last* axis of matrices, so that
every step is a few array operations over contiguous memory. The observations of one
frame are independent given the state. They are therefore used one after the other,
which needs no matrix inverse. The backward pass is the Bryson-Frazier recursion. It
needs no inverse either, and it needs only vectors, since only means are asked for.

Source: Bierman, "Fixed interval smoothing with discrete measurements", 1973.
"""

from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Bool, Float
from damamba_jax.data.simulated import dialogue
from damamba_jax.data.simulated.dialogue import Domain

# Cues of one person, in this order.
CUES = ("audio", "mouth", "visual")
_STORE_BYTES = 256 << 20
# As many sequences are smoothed together as have covariances of this size, so that
# these stay in the processor's cache.
_CACHE_BYTES = 1 << 20


class Posterior(NamedTuple):
    """Posterior means of engagement.

    Attributes:
      smoothed: means given the whole sequence.
      filtered: means given the sequence up to this frame and including it.
    """

    smoothed: Float[np.ndarray, "B P T"]
    filtered: Float[np.ndarray, "B P T"]


def smooth(
    cues: Float[np.ndarray, "B P 3 T"],
    observed: Bool[np.ndarray, "B P 3 T"],
    speaking: Bool[np.ndarray, "B P T"],
    domain: Domain,
) -> Posterior:
    """Returns the posterior mean of every person's engagement given the observed cues.

    Args:
      cues: the cues in the order of `CUES`; values that are not observed are ignored.
      observed: whether the smoother may use each value of the cues.
      speaking: whether each person speaks, which the smoother knows.
      domain: parameters that the smoother assumes.

    Returns:
      Means in the unit of engagement, whose prior variance is 1, as float64.
    """
    batch, people, _, frames = cues.shape
    num_states = dialogue.NUM_PROCESSES * people
    stored = 8 * frames * num_states * (3 * people + people)
    size = min(_STORE_BYTES // stored, _CACHE_BYTES // (8 * num_states**2))
    size = max(1, size)
    parts = [
        _smooth_part(
            cues[i : i + size], observed[i : i + size], speaking[i : i + size], domain
        )
        for i in range(0, batch, size)
    ]
    return Posterior(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class _Cue(NamedTuple):
    """One scalar observation of a state `x`.

    It is the sum of `gain * x[state]`, plus `x[gated]` while the person speaks.
    """

    person: int
    cue: int
    states: tuple[tuple[int, float], ...]
    gated: int | None
    bias: float


def _cues(domain: Domain, people: int) -> list[_Cue]:
    cues = []
    for p in range(people):
        at = [process * people + p for process in range(dialogue.NUM_PROCESSES)]
        audio = (
            (at[dialogue.ENGAGEMENT], domain.audio_gain),
            (at[dialogue.AUDIO_NUISANCE], 1.0),
            (at[dialogue.AUDIO_OFFSET], 1.0),
        )
        visual = (
            (at[dialogue.ENGAGEMENT], domain.visual_gain),
            (at[dialogue.VISUAL_NUISANCE], 1.0),
            (at[dialogue.VISUAL_OFFSET], 1.0),
        )
        mouth = ((at[dialogue.ARTEFACT], 1.0),)
        cues += [
            _Cue(p, 0, audio, None, domain.audio_bias),
            _Cue(p, 1, mouth, None, 0.0),
            _Cue(p, 2, visual, at[dialogue.ARTEFACT], domain.visual_bias),
        ]
    return cues


def _smooth_part(cues, observed, speaking, domain) -> Posterior:
    batch, people, _, frames = cues.shape
    step = dialogue.dynamics(domain, people)
    num_states = len(step.prior)
    # [frames, person, cue, batch]; the audio cues of a silent person are not used.
    seen = np.moveaxis(observed, (3, 0), (0, 3)).copy()
    speech = np.moveaxis(speaking, (2, 0), (0, 2)).astype(np.float64)
    seen[:, :, :2] &= speech[:, :, None] > 0
    values = np.where(seen, np.moveaxis(cues, (3, 0), (0, 3)), 0.0)
    used = seen.any(axis=3)
    specs = _cues(domain, people)

    mean = np.zeros((num_states, batch))
    cov = np.repeat(step.prior[:, :, None], batch, axis=2)
    buffer = np.empty_like(cov)
    smoothed = np.empty((frames, people, batch))
    filtered = np.empty_like(smoothed)
    rows = np.empty((frames, people, num_states, batch))
    updates: list[list[tuple[_Cue, np.ndarray, np.ndarray]]] = []
    for t in range(frames):
        if t:
            mean = _predict_mean(mean, step)
            cov = _predict_cov(cov, step)
        smoothed[t], rows[t] = mean[:people], cov[:people]
        taken = []
        for spec in specs:
            if not used[t, spec.person, spec.cue]:
                continue
            gate = speech[t, spec.person]
            cov_h, predicted = _project(cov, spec, gate), _apply(mean, spec, gate)
            variance = _apply(cov_h, spec, gate) + domain.noise
            weight = seen[t, spec.person, spec.cue] / variance
            surprise = values[t, spec.person, spec.cue] - spec.bias - predicted
            gain = cov_h * weight
            mean = mean + gain * surprise
            cov -= np.multiply(gain[:, None], cov_h, out=buffer)
            taken.append((spec, gain, weight * surprise))
        updates.append(taken)
        filtered[t] = mean[:people]

    adjoint = np.zeros((num_states, batch))
    for t in reversed(range(frames)):
        for spec, gain, scaled in reversed(updates[t]):
            pull = scaled - np.einsum("sb,sb->b", gain, adjoint)
            for state, factor in spec.states:
                adjoint[state] += factor * pull
            if spec.gated is not None:
                adjoint[spec.gated] += speech[t, spec.person] * pull
        smoothed[t] += np.einsum("psb,sb->pb", rows[t], adjoint)
        adjoint = _predict_adjoint(adjoint, step)
    return Posterior(
        np.moveaxis(smoothed, (2, 0), (0, 2)), np.moveaxis(filtered, (2, 0), (0, 2))
    )


def _apply(x: np.ndarray, spec: _Cue, gate: np.ndarray) -> np.ndarray:
    """Returns `h @ x` for `x` of shape `[state, batch]`."""
    (first, factor), *others = spec.states
    total = factor * x[first]
    for state, factor in others:
        total += x[state] if factor == 1.0 else factor * x[state]
    if spec.gated is not None:
        total += gate * x[spec.gated]
    return total


def _project(cov: np.ndarray, spec: _Cue, gate: np.ndarray) -> np.ndarray:
    """Returns `cov @ h`, `[state, batch]`, using that `cov` is symmetric."""
    return _apply(cov, spec, gate)


def _predict_mean(mean: np.ndarray, step: dialogue.Dynamics) -> np.ndarray:
    pairs = len(step.transition)
    return np.concatenate(
        [step.transition @ mean[:pairs], step.decay[:, None] * mean[pairs:]]
    )


def _predict_adjoint(adjoint: np.ndarray, step: dialogue.Dynamics) -> np.ndarray:
    pairs = len(step.transition)
    return np.concatenate(
        [step.transition.T @ adjoint[:pairs], step.decay[:, None] * adjoint[pairs:]]
    )


def _predict_cov(cov: np.ndarray, step: dialogue.Dynamics) -> np.ndarray:
    """Returns `F P F' + Q`, using the block structure of `F`."""
    pairs, num_states, batch = len(step.transition), len(cov), cov.shape[2]
    out = np.empty_like(cov)
    upper = (step.transition @ cov[:pairs].reshape(pairs, -1)).reshape(
        pairs, num_states, batch
    )
    np.matmul(step.transition, upper[:, :pairs], out=out[:pairs, :pairs])
    out[:pairs, :pairs] += step.transition_noise[:, :, None]
    np.multiply(upper[:, pairs:], step.decay[:, None], out=out[:pairs, pairs:])
    out[pairs:, :pairs] = out[:pairs, pairs:].swapaxes(0, 1)
    np.multiply(
        cov[pairs:, pairs:],
        (step.decay[:, None] * step.decay)[:, :, None],
        out=out[pairs:, pairs:],
    )
    diagonal = np.arange(pairs, num_states)
    out[diagonal, diagonal] += step.decay_noise[:, None]
    return out
