"""The smoother against conditioning of the joint Gaussian, written out in full."""

import numpy as np
import pytest

from damamba_jax.data.oracle import smoother
from damamba_jax.data.simulated import dialogue
from damamba_jax.data.simulated.dialogue import Domain

SHIFTED = Domain(
    audio_gain=0.7, visual_gain=1.2, audio_bias=0.5, visual_bias=-0.2, coupling=0.6
)


def condition(domain, cues, observed, speaking, seen_until):
    """Mean of engagement at the last seen frame, and at all frames, by brute force."""
    people, _, frames = cues.shape
    step = dialogue.dynamics(domain, people)
    size = len(step.prior)
    transition = np.diag(np.r_[np.zeros(2 * people), step.decay])
    transition[: 2 * people, : 2 * people] = step.transition
    joint = np.zeros((frames, size, frames, size))
    for t in range(frames):
        power = step.prior
        for s in range(t, frames):
            joint[s, :, t] = power
            joint[t, :, s] = power.T
            power = transition @ power
    joint = joint.reshape(frames * size, frames * size)
    rows, values = [], []
    for t in range(seen_until):
        for p in range(people):
            for cue in range(3):
                if not observed[p, cue, t] or (cue < 2 and not speaking[p, t]):
                    continue
                row = np.zeros((frames, 7, people))
                if cue == 0:
                    row[t, [0, 2, 5], p] = domain.audio_gain, 1, 1
                elif cue == 1:
                    row[t, 4, p] = 1
                else:
                    row[t, [0, 3, 6], p] = domain.visual_gain, 1, 1
                    row[t, 4, p] = speaking[p, t]
                rows.append(row.ravel())
                bias = (domain.audio_bias, 0.0, domain.visual_bias)[cue]
                values.append(cues[p, cue, t] - bias)
    h = np.array(rows)
    gram = h @ joint @ h.T + domain.noise * np.eye(len(h))
    mean = joint @ h.T @ np.linalg.solve(gram, np.array(values))
    return mean.reshape(frames, 7, people)[:, 0].T


def draw(domain, people, frames, seed, batch=3):
    rng = np.random.default_rng(seed)
    cues = rng.standard_normal((batch, people, 3, frames)) * 2
    observed = rng.random(cues.shape) < 0.7
    speaking = rng.random((batch, people, frames)) < 0.5
    return cues, observed, speaking


@pytest.mark.parametrize("people", [2, 3])
@pytest.mark.parametrize("domain", [Domain(), SHIFTED], ids=["base", "shifted"])
def test_equals_gaussian_conditioning(people, domain):
    cues, observed, speaking = draw(domain, people, frames=7, seed=people)
    posterior = smoother.smooth(cues, observed, speaking, domain)
    for i in range(len(cues)):
        exact = condition(domain, cues[i], observed[i], speaking[i], 7)
        np.testing.assert_allclose(posterior.smoothed[i], exact, rtol=0, atol=1e-8)
        for t in range(7):
            until = condition(domain, cues[i], observed[i], speaking[i], t + 1)[:, t]
            np.testing.assert_allclose(posterior.filtered[i, :, t], until, atol=1e-8)


def test_unseen_values_do_not_matter():
    cues, observed, speaking = draw(Domain(), 2, frames=20, seed=3)
    heard = observed & np.stack([speaking, speaking, np.ones_like(speaking)], axis=2)
    poisoned = np.where(heard, cues, np.nan)
    one, two = (
        smoother.smooth(c, observed, speaking, Domain()) for c in (cues, poisoned)
    )
    np.testing.assert_array_equal(one.smoothed, two.smoothed)
    nothing = smoother.smooth(cues, np.zeros_like(observed), speaking, Domain())
    np.testing.assert_array_equal(nothing.smoothed, 0.0)


def test_batches_do_not_mix(monkeypatch):
    cues, observed, speaking = draw(Domain(), 2, frames=15, seed=4, batch=11)
    whole = smoother.smooth(cues, observed, speaking, Domain())
    monkeypatch.setattr(smoother, "_STORE_BYTES", 1)
    parts = smoother.smooth(cues, observed, speaking, Domain())
    np.testing.assert_allclose(whole.smoothed, parts.smoothed, atol=1e-12)
    np.testing.assert_allclose(whole.filtered, parts.filtered, atol=1e-12)


def test_long_sequences_stay_stable():
    rng = np.random.default_rng(5)
    recording = dialogue.draw_recording(Domain(), people=2, frames=2500, rng=rng)
    cues = np.stack([recording.audio, recording.mouth, recording.visual], axis=1)[None]
    observed = np.ones(cues.shape, bool)
    speaking = recording.speaking[None]
    smoothed = smoother.smooth(cues, observed, speaking, Domain()).smoothed
    # The last part of a long sequence hardly knows how it began.
    tail = smoother.smooth(
        cues[..., 1000:], observed[..., 1000:], speaking[..., 1000:], Domain()
    ).smoothed
    np.testing.assert_allclose(smoothed[..., -500:], tail[..., -500:], atol=0.15)
    error = smoothed[0] - recording.engagement
    assert error.var() < 0.5
