"""The baseline sees one frame of one person, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example import FEATURES, objective_of, random_batch, small_system, unit_statistics

from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import baseline
from damamba_jax.inference import estimator
from damamba_jax.models import functional
from damamba_jax.models.functional import abstract_model, build_model
from damamba_jax.training.objective import loss_function


def scorer(config):
    """The jitted `score(batch) -> [B, Tl]`, and the parameters."""
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    predict = estimator.make_predict(graphdef)
    statistics = unit_statistics(config)
    return lambda batch: np.asarray(
        predict(params, batch, statistics, num_frames=24)
    ), params


@pytest.mark.parametrize("features", [FEATURES, FEATURES[1:2]], ids=["all", "one"])
def test_it_is_a_dense_network_over_all_columns_of_a_frame(features):
    config = small_system("baseline", features=features)
    score, params = scorer(config)
    params = jax.tree.map(np.asarray, params)
    batch = random_batch(config)
    names = [feature.name for feature in features]
    # The streams' rows are the labels' frames: 25 Hz all of them.
    x = np.concatenate([batch["features"][name][:, 0, :24] for name in names], -1)
    kernel = np.concatenate([params["inputs"][n]["project"]["kernel"] for n in names])
    bias = sum(params["inputs"][n]["project"]["bias"] for n in names)
    x = np.maximum(x @ kernel + bias, 0)
    for layer in params["hidden"].values():
        x = np.maximum(x @ layer["kernel"] + layer["bias"], 0)
    logit = x @ params["head"]["kernel"] + params["head"]["bias"]
    expected = 1 / (1 + np.exp(-logit[..., 0]))
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(score(batch), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("first_time", "changed"), [(0.0, [13]), (-0.02, [12, 13]), (0.04, [14])]
)
def test_a_frame_changes_only_the_labels_that_read_it(first_time, changed):
    config = small_system("baseline")
    score, _ = scorer(config)
    batch = random_batch(config)
    batch["first_time"] = {
        name: np.full_like(x, first_time) for name, x in batch["first_time"].items()
    }
    moved = {name: x.copy() for name, x in batch["features"].items()}
    for x in moved.values():
        x[:, :, 13] += 5.0
    difference = score(batch | {"features": moved}) != score(batch)
    assert np.flatnonzero(difference.any(axis=0)).tolist() == changed


def test_gradients_are_finite_and_a_missing_feature_is_learned():
    config = small_system("baseline")
    batch = random_batch(config)
    batch["features"]["openpose"][:, :, 3:9] = -1.0
    batch = jax.tree.map(jnp.asarray, batch)
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )

    def loss(params):
        return loss_function(
            objective_of(config), graphdef, params, unit_statistics(config), batch, None
        )[0]

    grads = jax.jit(jax.grad(loss))(params)
    for path, x in jax.tree_util.tree_flatten_with_path(grads)[0]:
        name = jax.tree_util.keystr(path)
        assert np.isfinite(x).all(), name
        nothing_missing = "missing" in name and "openpose" not in name
        assert (np.abs(x).max() > 0) != nothing_missing, name


def test_dropout_acts_before_the_last_hidden_layer():
    config = small_system("baseline", dropout=0.5)
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    batch, statistics = random_batch(config), unit_statistics(config)

    @jax.jit
    def score(params, key):
        return functional.forward(
            graphdef, params, batch, statistics, num_frames=24, key=key
        ).score

    one, two = (score(params, jax.random.key(seed)) for seed in (0, 1))
    assert np.isfinite(one).all() and not np.allclose(one, two, atol=1e-5)
    # What the last layer does not read cannot be dropped from it.
    last = params["hidden"][max(params["hidden"])]
    last["kernel"] = jnp.zeros_like(last["kernel"])
    np.testing.assert_array_equal(*(score(params, jax.random.key(s)) for s in (0, 1)))


@pytest.mark.parametrize("preset", ["all", *baseline.CHOSEN, "small"])
def test_a_preset_reads_what_it_is_called_after(preset):
    config = from_config_dict(baseline.get_config(preset))
    names = [feature.name for feature in config.data.features]
    every = [*("egemaps", "w2vbert2", "clip", "openface2", "openpose")]
    assert names == ([preset] if preset in baseline.CHOSEN else every)
    _, params = abstract_model(config.model, config.data)
    widths = [layer["kernel"].shape[1] for layer in params["hidden"].values()]
    first = params["inputs"][names[0]]["project"]["kernel"].shape[1]
    assert (first, *widths) == config.model.hidden_dims
