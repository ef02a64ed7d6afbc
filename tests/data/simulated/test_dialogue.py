"""The drawn conversations have the moments that their parameters promise."""

import dataclasses

import numpy as np
import pytest

from damamba_jax.data.simulated import dialogue
from damamba_jax.data.simulated.dialogue import Domain


@pytest.mark.parametrize("people", [2, 3, 4])
def test_the_process_is_stationary_with_unit_variance(people):
    step = dialogue.dynamics(Domain(), people)
    pairs = 2 * people
    full = np.diag(np.r_[np.zeros(pairs), step.decay])
    full[:pairs, :pairs] = step.transition
    noise = np.diag(np.r_[np.zeros(pairs), step.decay_noise])
    noise[:pairs, :pairs] = step.transition_noise
    np.testing.assert_allclose(
        full @ step.prior @ full.T + noise, step.prior, atol=1e-12
    )
    np.testing.assert_allclose(np.diag(step.prior)[:people], 1.0, rtol=1e-12)
    assert np.linalg.eigvalsh(step.transition_noise).min() > -1e-12
    assert np.abs(np.linalg.eigvals(step.transition)).max() < 1


def test_partners_correlate_as_documented():
    assert dialogue.dynamics(Domain(), 2).prior[0, 1] == pytest.approx(0.92, abs=0.005)
    loose = dialogue.dynamics(Domain(coupling=0.0), 2)
    assert loose.prior[0, 1] == 0.0


def test_a_step_is_the_exact_solution_of_the_process():
    # One step of 1/25 s against many small Euler steps of the drive and its low-pass.
    domain = Domain()
    step = dialogue.dynamics(domain, 2)
    shared = 20.0 / 22.0
    scale = np.sqrt(1 + 0.8**2 * shared)
    drive = np.array([1.0, -0.5])
    low = np.array([0.3, 0.8])
    start = np.r_[(drive + 0.8 * low[::-1]) / scale, low]
    small = 100_000
    for _ in range(small):
        drive, low = (
            drive - drive / 20.0 / 25.0 / small,
            low + (drive - low) / 2.0 / 25.0 / small,
        )
    end = np.r_[(drive + 0.8 * low[::-1]) / scale, low]
    np.testing.assert_allclose(step.transition @ start, end, atol=1e-8)


def test_drawn_moments():
    domain = Domain()
    rng = np.random.default_rng(0)
    drawn = [
        dialogue.draw_recording(domain, people=2, frames=1500, rng=rng)
        for _ in range(150)
    ]
    engagement = np.stack([recording.engagement for recording in drawn])
    # 300 people x 60 s are about 300 independent draws: 8 % on a variance.
    assert engagement.var() == pytest.approx(1.0, abs=0.25)
    beyond = np.abs(engagement) > dialogue.LABEL_MEAN / dialogue.LABEL_SCALE
    assert beyond.mean() < 1e-3
    speaking = np.stack([recording.speaking for recording in drawn])
    silent = np.stack([recording.audio for recording in drawn])[~speaking]
    assert silent.var() == pytest.approx(domain.cross_talk, rel=0.02)
    mouth = np.stack([recording.mouth for recording in drawn])
    assert mouth[~speaking].var() == pytest.approx(domain.noise, rel=0.02)
    assert mouth[speaking].var() == pytest.approx(domain.noise + 6.0, rel=0.1)
    visual = np.stack([recording.visual for recording in drawn])
    # 1 + nuisance 0.5 + offset 0.2 + noise 2, and the artefact's 6 in speech.
    assert visual[~speaking].var() == pytest.approx(3.7, abs=0.4)
    assert visual[speaking].var() == pytest.approx(9.7, abs=0.9)
    fast = np.stack([recording.fast for recording in drawn])
    assert fast.var() == pytest.approx(1.0, rel=0.03)
    lag = (fast[..., 5:] * fast[..., :-5]).mean()
    assert lag == pytest.approx(np.exp(-2.0), abs=0.02)
    assert np.corrcoef(fast.ravel(), engagement.ravel())[0, 1] == pytest.approx(
        0, abs=0.02
    )


@pytest.mark.parametrize("people", [2, 4])
def test_turns_have_pauses_overlaps_and_backchannels(people):
    speaking = dialogue.draw_speech(
        Domain(), people=people, frames=25 * 1200, rng=np.random.default_rng(1)
    )
    voices = speaking.sum(axis=0)
    assert 0.05 < (voices == 0).mean() < 0.3
    assert 0.02 < (voices > 1).mean() < 0.25
    assert (speaking.mean(axis=1) > 0.5 / people).all()
    edges = np.diff(np.pad(speaking.astype(int), ((0, 0), (1, 1))), axis=1)
    lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    # Backchannels last at most 0.8 s; they and turns are both common.
    assert (lengths <= 20).mean() > 0.1
    assert (lengths > 50).mean() > 0.3


def test_nothing_is_drawn_from_engagement():
    # The very same speech and gaps come with another engagement process: they cannot
    # depend on it.
    draws = [
        dialogue.draw_recording(
            domain, people=3, frames=3000, rng=np.random.default_rng(7)
        )
        for domain in (Domain(), Domain(coupling=0.0, engagement_seconds=5.0))
    ]
    assert not np.allclose(draws[0].engagement, draws[1].engagement)
    for name in ("speaking", "audio_valid", "visual_valid", "label_valid", "fast"):
        np.testing.assert_array_equal(*(getattr(draw, name) for draw in draws))


def test_gaps_have_the_expected_coverage():
    gaps = dialogue.draw_gaps(
        50, 25 * 600, np.random.default_rng(2), every_seconds=20.0, mean_seconds=1.0
    )
    # A renewal of gaps of mean 1 s every 20 s, overlaps included: 1 - exp(-1/20).
    assert gaps.mean() == pytest.approx(1 - np.exp(-1 / 20), rel=0.15)


def test_one_person_is_no_conversation():
    with pytest.raises(ValueError, match="`people`: expected at least 2, got 1"):
        dialogue.dynamics(Domain(), 1)


def test_domains_are_values():
    assert dataclasses.replace(Domain(), noise=3.0) != Domain()
