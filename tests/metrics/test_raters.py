"""Agreement of raters against a slow reference."""

import numpy as np

from damamba_jax.data.corpus.ceiling import Ceiling
from damamba_jax.metrics.ccc import ccc
from damamba_jax.metrics.raters import rater_agreement


def test_each_rater_is_held_against_the_mean_of_the_others():
    rng = np.random.default_rng(0)
    people = []
    for frames in (40, 60):
        truth = rng.normal(size=frames)
        ratings = {
            name: truth + noise * rng.normal(size=frames)
            for name, noise in (("ann", 0.1), ("bob", 0.5), ("cem", 2.0))
        }
        ratings["bob"][:10] = np.nan
        people.append(ratings)
    # One person whom a single rater has seen.
    people.append({"ann": np.ones(5), "bob": np.full(5, np.nan)})
    pairs = {name: ([], []) for name in ("ann", "bob", "cem")}
    for ratings in people:
        for name, (own, mean) in pairs.items():
            for i, value in enumerate(ratings.get(name, ())):
                others = [v[i] for n, v in ratings.items() if n != name]
                others = [v for v in others if np.isfinite(v)]
                if others and np.isfinite(value):
                    own.append(value)
                    mean.append(np.mean(others))
    expected = {n: ccc(np.array(m), np.array(o)) for n, (o, m) in pairs.items()}
    found = rater_agreement(people)
    assert found.keys() == expected.keys() and found["bob"] > found["cem"]
    np.testing.assert_allclose([*found.values()], [*expected.values()])
    assert "with the mean of the others: ann " in str(Ceiling(found, "CCC"))


def test_nobody_agrees_alone():
    assert rater_agreement([{"ann": np.ones(3)}, {}]) == {}
