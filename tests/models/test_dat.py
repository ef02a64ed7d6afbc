"""DAT against NumPy, its published sizes, and what partners may and may not do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example import (
    FEATURES,
    objective_of,
    random_batch,
    replace_model,
    small_system,
    unit_statistics,
)
from numpy_dat import score as numpy_score

from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import dat
from damamba_jax.errors import ConfigError
from damamba_jax.inference import estimator
from damamba_jax.models import functional
from damamba_jax.models.functional import abstract_model, build_model
from damamba_jax.training.objective import loss_function


def count(config) -> int:
    return sum(
        leaf.size
        for leaf in jax.tree.leaves(abstract_model(config.model, config.data)[1])
    )


def with_window(config, **window):
    window = dataclasses.replace(config.data.window, **window)
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, window=window)
    )


class Small:
    """A small DAT with parameters that are nowhere 0 or 1, and its jitted score."""

    def __init__(self):
        config = small_system("dat")
        # Two frames per sample and label, two blocks where partners are attended to.
        config = with_window(config, frame_hz=50.0)
        self.config = replace_model(config, partner_blocks=2)
        self.graphdef, params = functional.split_model(
            build_model(self.config.model, self.config.data, seed=self.config.seed)
        )
        rng = np.random.default_rng(1)
        self.params = jax.tree.map(
            lambda x: x + jnp.asarray(0.3 * rng.standard_normal(x.shape), jnp.float32),
            params,
        )
        self.statistics = {
            f.name: (
                rng.normal(size=f.dim).astype(np.float32),
                # The first column is dropped.
                np.append(0.0, rng.uniform(0.3, 2, f.dim - 1)).astype(np.float32),
            )
            for f in self.config.data.features
        }
        self.batch = damaged(random_batch(self.config, size=4))
        self.predict = estimator.make_predict(self.graphdef)

    def score(self, **changes):
        return np.asarray(
            self.predict(
                self.params, self.batch | changes, self.statistics, num_frames=24
            )
        )


def damaged(batch):
    """Missing samples and people, odd entries, and streams that start off the grid."""
    rng = np.random.default_rng(2)
    batch["feature_valid"]["egemaps"][0, 0, 3:6] = False
    batch["feature_valid"]["w2v"][1, 1, 5] = False
    batch["features"]["openpose"][2, :2, 4:9] = -1.0
    batch["features"]["openpose"][3, 0] = np.nan
    batch["features"]["egemaps"][1, 0, 2, 1] = np.inf
    batch["features"]["w2v"][0, 2, 7] = 0.0
    batch["features"]["w2v"][2, 0, 1, 2] = 500.0
    for name, start in batch["first_time"].items():
        batch["first_time"][name] = start - np.float32(0.013)
        batch["rate"][name][1] = 24.0
    batch["label_time"] += rng.uniform(0, 0.01, (4, 1)).astype(np.float32)
    batch["participant_valid"] = np.array(
        [[1, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0]], bool
    )
    return batch


@pytest.fixture(scope="module")
def small():
    return Small()


def test_scores_are_those_of_numpy_in_float64(small):
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), small.params)
    statistics = jax.tree.map(np.float64, small.statistics)
    expected = numpy_score(params, small.batch, statistics, small.config)
    assert np.ptp(expected, axis=1).min() > 0.01
    np.testing.assert_allclose(small.score(), expected, rtol=0, atol=1e-5)


def test_absent_partners_have_no_influence_and_present_ones_have(small):
    before = small.score()
    moved = {name: x.copy() for name, x in small.batch["features"].items()}
    absent = ~small.batch["participant_valid"]
    for x in moved.values():
        x[absent] += 3.0
    np.testing.assert_array_equal(small.score(features=moved), before)
    for x in moved.values():
        x[~absent & (np.arange(3) > 0)] += 3.0
    changed = np.abs(small.score(features=moved) - before).max(axis=1)
    assert (changed[:3] > 1e-4).all() and changed[3] == 0


def test_the_order_of_partners_does_not_matter(small):
    swapped = jax.tree.map(
        lambda x: x[:, [0, 2, 1]] if x.shape[:2] == (4, 3) else x, small.batch
    )
    np.testing.assert_allclose(small.score(**swapped), small.score(), atol=1e-6)


@pytest.mark.parametrize(
    ("preset", "millions", "tolerance"),
    [("m", 66.79, 2e-4), ("l", 113.98, 2e-4), ("paper_table", 42.5, 0.01)],
)
def test_presets_have_the_published_numbers_of_parameters(preset, millions, tolerance):
    config = from_config_dict(dat.get_config(preset))
    assert config.data.window.window_frames == 96
    assert count(config) / 1e6 == pytest.approx(millions, rel=tolerance)


def test_positions_are_learned_for_the_frames_of_the_window(small):
    # Per frame: two people's features and groups, and the groups of the dialogue.
    width = 6 * len(small.config.data.features)
    longer = with_window(small.config, past_frames=12, core_frames=12, future_frames=12)
    assert count(longer) - count(small.config) == 12 * 5 * width
    with pytest.raises(ConfigError, match=r"positions of 24 frames, got 36.*stitched"):
        small.predict(small.params, small.batch, small.statistics, num_frames=36)


def test_gradients_are_finite_and_remat_does_not_change_them():
    config = small_system("dat", features=FEATURES[2:], participants=2)
    batch = jax.tree.map(jnp.asarray, random_batch(config))
    pose = batch["features"]["openpose"].at[:, :, 3:9].set(-1.0)
    batch = batch | {"features": {"openpose": pose}}
    _, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    results = []
    for remat in (False, True):
        variant = replace_model(config, remat=remat)
        graphdef, _ = abstract_model(variant.model, variant.data)

        def loss(params, config=variant, graphdef=graphdef):
            return loss_function(
                objective_of(config),
                graphdef,
                params,
                unit_statistics(config),
                batch,
                None,
            )[0]

        results.append(jax.jit(jax.value_and_grad(loss))(params))
    (loss_a, grads_a), (loss_b, grads_b) = results
    np.testing.assert_allclose(loss_a, loss_b, rtol=1e-5)
    for (path, a), b in zip(
        jax.tree_util.tree_flatten_with_path(grads_a)[0],
        jax.tree.leaves(grads_b),
        strict=True,
    ):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(a).all() and np.abs(a).max() > 0, name
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=name)


def test_dropout_acts_in_training_only():
    config = small_system(
        "dat", dropout=0.5, features=FEATURES[2:], dim=4, num_heads=1,
        feature_head_dim=4, group_head_dim=4, feature_ffn_dim=4, group_ffn_dim=4,
        feature_blocks=0, group_blocks=0,
    )  # fmt: skip
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    batch, statistics = random_batch(config), unit_statistics(config)

    @jax.jit
    def score(key):
        return functional.forward(
            graphdef, params, batch, statistics, num_frames=24, key=key
        ).score

    one, two = score(jax.random.key(0)), score(jax.random.key(1))
    assert np.isfinite(one).all() and not np.allclose(one, two, atol=1e-4)
    np.testing.assert_array_equal(one, score(jax.random.key(0)))
