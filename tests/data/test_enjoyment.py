"""A real corpus, where somebody has a copy of it.

The copy is found by `DAMAMBA_ENJOYMENT`, or in `enjoyment` beside the checkout; it has
the names of the preset `plain` or of the public repository.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import enjoyment
from damamba_jax.data.batches.windows import TrainingSource
from damamba_jax.data.open import open_corpus
from damamba_jax.metrics.raters import rater_agreement

BESIDE = Path(__file__).parents[3] / "enjoyment"
ROOT = Path(os.environ.get("DAMAMBA_ENJOYMENT", BESIDE))

pytestmark = pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no copy of the corpus: DAMAMBA_ENJOYMENT={ROOT}"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    plain = (ROOT / enjoyment.FILES["plain"].ratings).is_file()
    config = enjoyment.get_config("plain" if plain else "repository")
    config.data.root = str(ROOT)
    config.data.cache_dir = str(tmp_path_factory.mktemp("cache"))
    return from_config_dict(config).data


def test_everybody_is_read_and_rated(data):
    found = open_corpus(data)
    assert found.problems == ()
    assert len(found.sessions) >= 19
    turns = [session.turns(0) for session in found.sessions]
    labels = [session.participants[0].labels() for session in found.sessions]
    for one, label in zip(turns, labels, strict=True):
        assert np.isfinite(label[one.first]).mean() > 0.9
        assert one.name == tuple(str(i + 1) for i in range(len(one)))
    source = TrainingSource(
        found.sessions, data, max_participants=4, batch_size=8, seed=0, num_steps=1
    )
    assert source.num_windows >= 440
    for valid in source[0]["feature_valid"].values():
        assert valid.mean() > 0.9


def test_three_raters_agree_moderately(data):
    found = open_corpus(data)
    agreement = rater_agreement(session.ratings(0) for session in found.sessions)
    assert set(agreement) == {"Annot1", "Annot2", "Annot3"}
    assert all(0.4 < value < 0.7 for value in agreement.values())
