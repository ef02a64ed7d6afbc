"""Overall scores of the challenges, computed by hand."""

import pytest

from damamba_jax.metrics.challenge import SCORES, Part, challenge_scores

CCC = {
    Part("noxi/test-base"): 0.6,
    Part("noxi/test-additional"): 0.5,
    Part("mpiigroupinteraction/test"): 0.1,
}
NOXI_J = {Part("noxi-j/test"): 0.4}
KAPPAS = {
    Part("pinsoro/test-cc", "task_engagement"): 0.1,
    Part("pinsoro/test-cc", "social_engagement"): 0.2,
    Part("pinsoro/test-cr", "task_engagement"): 0.3,
    Part("pinsoro/test-cr", "social_engagement"): 0.0,
}


def test_scores():
    assert challenge_scores(CCC) == {"Global 2024": pytest.approx(0.4)}
    assert challenge_scores(CCC | NOXI_J) == {
        "Global 2024": pytest.approx(0.4),
        "Combined 2025": pytest.approx(0.4),
    }
    every = challenge_scores(CCC | NOXI_J | KAPPAS | {Part("noxi/val"): 1.0})
    assert every["Ranking 2026"] == pytest.approx(1.6 / 6 + 0.15 / 3)


@pytest.mark.parametrize("missing", KAPPAS | NOXI_J)
def test_a_score_waits_for_all_of_its_parts(missing):
    parts = CCC | NOXI_J | KAPPAS
    del parts[missing]
    assert "Ranking 2026" not in challenge_scores(parts)


def test_weights_add_up():
    for weights in SCORES.values():
        assert sum(weights.values()) == pytest.approx(1.0)
    assert challenge_scores({}) == {}
