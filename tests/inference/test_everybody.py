"""Everybody of a window scored at once: the same scores, from half the windows."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from class_forms import with_classes
from example import FEATURES, small_config, unit_statistics
from line_labels import line_labels

from damamba_jax.data.batches.everybody import all_alike
from damamba_jax.data.corpus.array_source import session_of_arrays
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.inference.estimator import predict_function
from damamba_jax.inference.sessions import predict_sessions
from damamba_jax.models.functional import build_model, split_model


def record(*names, seconds=3.0, scale=None):
    """A recording of noise."""
    rng = np.random.default_rng(len(names))
    people = {
        name: {
            f.name: rng.normal(size=(round(seconds * f.rate), f.dim)).astype(np.float32)
            for f in FEATURES
        }
        for name in names
    }
    return session_of_arrays(
        people, {}, FEATURES, label_rate=25.0, scale=scale or Scale()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "model", "classes"),
    [
        ("ann bob", {}, ""),
        ("ann bob", {}, "low middle high"),
        ("ann bob cem", {"partner_order": "interleaved"}, ""),
        ("ann bob", {"modality_fusion": False}, ""),
        ("ann bob", {"partner_fusion": False}, ""),
    ],
)
def test_scores_are_those_of_one_target_after_the_other(names, model, classes):
    scale = Scale(classes=tuple(classes.split()))
    session = record(*names.split(), scale=scale)
    config = small_config(participants=len(names.split()), **model)
    if classes:
        data = dataclasses.replace(config.data, classes=scale.classes)
        config = with_classes(config, data)
    _, params = split_model(build_model(config.model, config.data, seed=0))
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda x: x + jnp.asarray(0.1 * rng.standard_normal(x.shape), jnp.float32),
        params,
    )
    predict = predict_function(config.model, config.data)
    encoded = []

    def score(batch, num_frames):
        encoded.append(batch["participant_valid"].sum())
        return predict(params, batch, unit_statistics(config), num_frames=num_frames)

    def run(shares_people):
        encoded.clear()
        traces = predict_sessions(
            score, [session], config.data, batch_size=6, frame_multiple=8,
            shares_people=shares_people,
        )  # fmt: skip
        found = {
            trace.role: trace.probabilities if classes else trace.prediction
            for trace in traces
        }
        return found, sum(encoded)

    (one, cost), (other, shared) = run(False), run(True)
    assert list(one) == list(other) == names.split()
    assert shared < 0.7 * cost
    for name, expected in one.items():
        assert np.isfinite(expected).all() and np.ptp(expected) > 0.01
        # Batches of other sizes are rounded in other places.
        np.testing.assert_allclose(other[name], expected, atol=2e-6)
        if classes:
            np.testing.assert_allclose(expected.sum(axis=1), 1.0, rtol=1e-5)


def test_only_sessions_that_are_seen_whole_are_scored_at_once():
    data = small_config(participants=2).data
    dyad, triad, alone = record("ann", "bob"), record("a", "b", "c"), record("ann")
    assert all_alike([dyad, dyad], data)
    assert not all_alike([dyad, triad], data)
    assert not all_alike([alone], data)
    first, second = dyad.participants
    for changed in (
        {"is_target": False},
        {"label_source": line_labels(Path("labels.csv")), "num_labels": 75},
    ):
        odd = dataclasses.replace(
            dyad, participants=(first, dataclasses.replace(second, **changed))
        )
        assert not all_alike([odd], data)
