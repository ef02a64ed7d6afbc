"""The random process that simulated conversations are drawn from.

Every person `p` has a drive `u_p` and its low-pass `l_p`. The engagement `e_p` of a
person depends on the person's own drive and, a little later, on the partners' drives:

    du_p = -u_p dt / engagement_seconds + sqrt(2 / engagement_seconds) dW
    dl_p = -(l_p - u_p) dt / lag_seconds
    e_p  = (u_p + coupling * mean of the partners' l_q) / c

`c` makes Var e_p = 1. With the default parameters the engagements of two people
correlate by 0.92. The process is stationary for every coupling. It is discretised
exactly at `FRAME_HZ` and kept in the basis `(e, l)`. Each person also has independent
Ornstein-Uhlenbeck processes (two nuisances and a mouth artefact `m`) and constant
offsets. The feature groups see the following cues of one person, where `w` is white
noise of variance `noise` in every cue and frame:

    audio  = speaking ? gain * e + audio nuisance + audio offset + bias + w : cross-talk
    mouth  = (speaking ? m : 0) + w                                  (audio group only)
    visual = gain * e + visual nuisance + visual offset + bias + (speaking ? m : 0) + w

If it is known who speaks, this is linear and Gaussian, so that a Kalman smoother that
knows the parameters is the best possible estimator. This also needs speech, missing
frames and annotation gaps that are drawn independently of engagement, as they are.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Bool, Float

FRAME_HZ = 25.0

# The indices of a person's processes in the state, which is ordered [process, person].
ENGAGEMENT, LOW_PASS, AUDIO_NUISANCE, VISUAL_NUISANCE, ARTEFACT = range(5)
AUDIO_OFFSET, VISUAL_OFFSET = 5, 6
NUM_PROCESSES = 7

# Label = LABEL_MEAN + LABEL_SCALE * engagement. The ends of the scale, 0 and 1, lie 4.5
# standard deviations away, since a slow process that reaches an end stays there long.
LABEL_MEAN, LABEL_SCALE = 0.5, 0.11


@dataclasses.dataclass(frozen=True, kw_only=True)
class Domain:
    """Parameters of one kind of conversation.

    Args:
      coupling: weight of the partners' low-passed drive in a person's engagement.
      engagement_seconds, lag_seconds: time constants of engagement and low-pass.
      audio_gain, visual_gain: gains of engagement in the audio and the visual cue.
      audio_nuisance, visual_nuisance: variances of the nuisances.
      nuisance_seconds: time constant of the nuisances.
      artefact, artefact_seconds: variance and time constant of the mouth artefact.
      noise: variance of the white noise in every cue.
      cross_talk: variance of the audio cue while the person is silent.
      audio_offset, visual_offset: variances of the persons' constant offsets.
      audio_bias, visual_bias: offsets that are the same for everybody in this domain.
      turn_seconds: mean length of a turn.
      backchannel_hz: number of short utterances of a listener per second.
    """

    coupling: float = 0.8
    engagement_seconds: float = 20.0
    lag_seconds: float = 2.0
    audio_gain: float = 1.0
    visual_gain: float = 1.0
    audio_nuisance: float = 0.8
    visual_nuisance: float = 0.5
    nuisance_seconds: float = 60.0
    artefact: float = 6.0
    artefact_seconds: float = 3.0
    noise: float = 2.0
    cross_talk: float = 2.0
    audio_offset: float = 0.15
    visual_offset: float = 0.2
    audio_bias: float = 0.0
    visual_bias: float = 0.0
    turn_seconds: float = 4.0
    backchannel_hz: float = 0.08


class Dynamics(NamedTuple):
    """The step from one frame to the next, and the stationary prior of the state.

    The first `2 * people` states, engagement and low-pass, are coupled. Their step is
    `x' = transition @ x + N(0, transition_noise)`, where both are matrices. Every other
    state has a number `decay` and a variance `decay_noise` of its own.
    """

    transition: Float[np.ndarray, "coupled coupled"]  # coupled = 2P
    transition_noise: Float[np.ndarray, "coupled coupled"]
    decay: Float[np.ndarray, "others"]  # others = 5P
    decay_noise: Float[np.ndarray, "others"]
    prior: Float[np.ndarray, "states states"]  # states = 7P


class Recording(NamedTuple):
    """One drawn conversation.

    Attributes:
      engagement: engagement of each person, with unit variance.
      speaking: whether each person speaks.
      audio, mouth, visual: the cues.
      fast: a process of onsets and nods, which is in the features of both groups and
        does not depend on engagement.
      audio_valid, visual_valid: False where a group's extractors lose the person.
      label_valid: False in the gaps of the annotation.
    """

    engagement: Float[np.ndarray, "P T"]
    speaking: Bool[np.ndarray, "P T"]
    audio: Float[np.ndarray, "P T"]
    mouth: Float[np.ndarray, "P T"]
    visual: Float[np.ndarray, "P T"]
    fast: Float[np.ndarray, "P T"]
    audio_valid: Bool[np.ndarray, "P T"]
    visual_valid: Bool[np.ndarray, "P T"]
    label_valid: Bool[np.ndarray, "P T"]


@functools.cache
def dynamics(domain: Domain, people: int) -> Dynamics:
    """Discretises the process for `people` participants.

    Raises:
      ValueError: for fewer than two participants.
    """
    if people < 2:
        raise ValueError(f"`people`: expected at least 2, got {people}.")
    step, covariance = _engagement_step(domain, people)
    variances = [
        domain.audio_nuisance,
        domain.visual_nuisance,
        domain.artefact,
        domain.audio_offset,
        domain.visual_offset,
    ]
    seconds = [
        domain.nuisance_seconds,
        domain.nuisance_seconds,
        domain.artefact_seconds,
        np.inf,
        np.inf,
    ]
    variance = np.repeat(variances, people)
    decay = np.exp(-1.0 / (FRAME_HZ * np.repeat(seconds, people)))
    prior = np.zeros((NUM_PROCESSES * people,) * 2)
    prior[: 2 * people, : 2 * people] = covariance
    prior[2 * people :, 2 * people :] = np.diag(variance)
    return Dynamics(
        transition=step,
        transition_noise=covariance - step @ covariance @ step.T,
        decay=decay,
        decay_noise=variance * (1 - decay**2),
        prior=prior,
    )


def _engagement_step(domain: Domain, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns exact step and stationary covariance of all `(e, l)`, each `[2P, 2P]`."""
    eye = np.eye(people)
    partners = (1 - eye) / (people - 1)
    tau, lag = domain.engagement_seconds, domain.lag_seconds
    # First in the basis (u, l): the decay, and the stationary covariance, whose closed
    # form for one person is Var u = 1 and Var l = Cov(u, l) = tau / (tau + lag).
    drift = np.kron([[-1 / tau, 0.0], [1 / lag, -1 / lag]], eye)
    shared = tau / (tau + lag)
    covariance = np.kron([[1.0, shared], [shared, shared]], eye)
    # Then in the basis (e, l), where e is scaled to unit variance.
    basis = np.block([[eye, domain.coupling * partners], [0 * eye, eye]])
    scale = np.sqrt((basis @ covariance @ basis.T)[0, 0])
    basis[:people] /= scale
    inverse = np.linalg.inv(basis)
    covariance = basis @ covariance @ basis.T
    values, vectors = np.linalg.eig(drift / FRAME_HZ)
    step = ((vectors * np.exp(values)) @ np.linalg.inv(vectors)).real
    return basis @ step @ inverse, covariance


def draw_recording(
    domain: Domain, *, people: int, frames: int, rng: np.random.Generator
) -> Recording:
    """Draws one conversation of `frames` frames at `FRAME_HZ`."""
    speaking = draw_speech(domain, people=people, frames=frames, rng=rng)
    state = _draw_state(dynamics(domain, people), people, frames, rng)
    engagement = state[ENGAGEMENT]
    artefact = np.where(speaking, state[ARTEFACT], 0.0)
    white = np.sqrt(domain.noise) * rng.standard_normal((3, people, frames))
    audio = (
        domain.audio_gain * engagement
        + state[AUDIO_NUISANCE]
        + state[AUDIO_OFFSET]
        + domain.audio_bias
        + white[0]
    )
    cross_talk = np.sqrt(domain.cross_talk) * rng.standard_normal((people, frames))
    visual = (
        domain.visual_gain * engagement
        + state[VISUAL_NUISANCE]
        + state[VISUAL_OFFSET]
        + domain.visual_bias
        + artefact
        + white[2]
    )
    return Recording(
        engagement=engagement,
        speaking=speaking,
        audio=np.where(speaking, audio, cross_talk),
        mouth=artefact + white[1],
        visual=visual,
        fast=_draw_fast(people, frames, rng),
        audio_valid=~draw_gaps(
            people, frames, rng, every_seconds=60.0, mean_seconds=0.6
        ),
        visual_valid=~draw_gaps(
            people, frames, rng, every_seconds=15.0, mean_seconds=1.5
        ),
        label_valid=~draw_gaps(
            people, frames, rng, every_seconds=100.0, mean_seconds=2.0
        ),
    )


def draw_speech(
    domain: Domain, *, people: int, frames: int, rng: np.random.Generator
) -> Bool[np.ndarray, "P T"]:
    """Draws who speaks when, with turns, pauses, overlaps and backchannels.

    This is a semi-Markov chain, which does not depend on engagement.
    """
    speaking = np.zeros((people, frames), bool)
    seconds = frames / FRAME_HZ
    speaker = int(rng.integers(people))
    # The recording starts in the middle of a turn, not at its beginning.
    start = -float(rng.uniform(0, domain.turn_seconds))
    while start < seconds:
        end = start + max(0.4, rng.gamma(2.0, domain.turn_seconds / 2))
        _mark(speaking[speaker], start, end)
        for listener in range(people):
            if listener != speaker:
                for _ in range(rng.poisson(domain.backchannel_hz * (end - start))):
                    at = rng.uniform(start, end)
                    _mark(speaking[listener], at, at + rng.uniform(0.3, 0.8))
        offset = rng.normal(0.4, 0.6)
        if rng.random() < 0.75:
            # The next speaker may start early, so that two people speak at once.
            others = [person for person in range(people) if person != speaker]
            speaker = others[int(rng.integers(people - 1))]
            start = end + max(offset, -0.5 * (end - start))
        else:
            start = end + abs(offset) + 0.2
    return speaking


def draw_gaps(
    people: int,
    frames: int,
    rng: np.random.Generator,
    *,
    every_seconds: float,
    mean_seconds: float,
) -> Bool[np.ndarray, "P T"]:
    """Draws gaps of exponential length."""
    gaps = np.zeros((people, frames), bool)
    seconds = frames / FRAME_HZ
    for row in gaps:
        for _ in range(rng.poisson(seconds / every_seconds)):
            at = rng.uniform(0, seconds)
            _mark(row, at, at + rng.exponential(mean_seconds))
    return gaps


def _mark(row: np.ndarray, start: float, end: float) -> None:
    row[max(0, round(start * FRAME_HZ)) : max(0, round(end * FRAME_HZ))] = True


def _draw_state(
    step: Dynamics, people: int, frames: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws all processes from the stationary start, `[process, people, frames]`."""
    pairs = len(step.transition)
    state = np.empty((frames, NUM_PROCESSES * people))
    state[0] = _root(step.prior) @ rng.standard_normal(state.shape[1])
    noise = rng.standard_normal((frames, state.shape[1]))
    noise[:, :pairs] = noise[:, :pairs] @ _root(step.transition_noise).T
    noise[:, pairs:] *= np.sqrt(step.decay_noise)
    for t in range(1, frames):
        state[t, :pairs] = step.transition @ state[t - 1, :pairs] + noise[t, :pairs]
        state[t, pairs:] = step.decay * state[t - 1, pairs:] + noise[t, pairs:]
    return state.T.reshape(NUM_PROCESSES, people, frames)


def _draw_fast(people: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draws a process of unit variance with a time constant of 0.1 s."""
    decay = np.exp(-1.0 / (0.1 * FRAME_HZ))
    fast = rng.standard_normal((frames, people))
    fast[1:] *= np.sqrt(1 - decay**2)
    for t in range(1, frames):
        fast[t] += decay * fast[t - 1]
    return fast.T


def _root(covariance: np.ndarray) -> np.ndarray:
    """Returns a square root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))
