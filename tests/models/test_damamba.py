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
    small_config,
    unit_statistics,
)

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.inference import estimator
from damamba_jax.models import functional
from damamba_jax.models.functional import abstract_model, build_model
from damamba_jax.training.objective import loss_function

# Half the code to compile, for what does not depend on the direction.
QUICK = {"direction": "forward"}


def scorer(config: Config):
    """The jitted `score(batch) -> [B, Tl]` of a freshly initialised model."""
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    predict = estimator.make_predict(graphdef)
    statistics = unit_statistics(config)
    frames = config.data.window.window_frames
    return lambda batch: predict(params, batch, statistics, num_frames=frames)


def gradient_of_core(config: Config, batch: dict, label: int) -> dict:
    """|d score / d x| of one label, largest per feature, person and row."""
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )

    @jax.jit
    def gradient(features):
        def score(features):
            return functional.forward(
                graphdef,
                params,
                {**batch, "features": features},
                unit_statistics(config),
                num_frames=config.data.window.window_frames,
            ).score[0, label]

        return jax.grad(score)(features)

    grads = gradient(jax.tree.map(jnp.asarray, batch["features"]))
    return {name: np.abs(g[0]).max(axis=-1) for name, g in grads.items()}


def count(config: Config) -> int:
    return sum(
        leaf.size
        for leaf in jax.tree.leaves(abstract_model(config.model, config.data)[1])
    )


def test_paper_configuration_has_the_published_number_of_parameters():
    assert abs(count(from_config_dict(noxi.get_config())) - 28.7e6) < 0.3e6


@pytest.mark.parametrize(
    ("switch", "dialogue_dim"), [("partner_fusion", 320), ("modality_fusion", 304)]
)
def test_ablations_can_give_removed_parameters_to_the_dialogue_encoder(
    switch, dialogue_dim
):
    config = from_config_dict(noxi.get_config())
    ablated = replace_model(config, **{switch: False}, dialogue_dim=dialogue_dim)
    assert abs(count(ablated) / count(config) - 1) < 0.02


@pytest.mark.slow
def test_scores_are_in_range_and_depend_on_the_whole_window():
    config = small_config()
    batch = random_batch(config)
    score = scorer(config)(batch)
    assert score.shape == (4, 24) and score.dtype == jnp.float32
    assert bool(((score > 0) & (score < 1)).all())
    first, last = 0, 23
    for name, grad in gradient_of_core(config, batch, label=12).items():
        assert grad[0, first] > 0 and grad[0, last] > 0, name
        assert grad[1].max() > 0, f"{name} of the partner"


def test_without_partner_fusion_no_partner_signal_reaches_the_target():
    config = small_config(partner_fusion=False, dialogue_dim=12)
    grads = gradient_of_core(config, random_batch(config), label=12)
    assert all(grad[1].max() == 0 for grad in grads.values())
    assert all(grad[0].max() > 0 for grad in grads.values())


@pytest.mark.parametrize("fused", [True, False])
def test_groups_interact_by_modality_fusion_alone(fused):
    """Without it the logit is a sum of what each group says."""
    config = small_config(**QUICK, modality_fusion=fused)
    score = scorer(config)
    one, two = (random_batch(config, seed=seed)["features"] for seed in (0, 1))
    rest = random_batch(config)

    def logit(audio, visual):
        features = {**audio, "openpose": visual["openpose"]}
        value = np.asarray(score({**rest, "features": features}), np.float64)
        return np.log(value / (1 - value))

    both = logit(one, one) + logit(two, two)
    mixed = logit(one, two) + logit(two, one)
    assert np.abs(logit(one, one) - logit(two, one)).max() > 1e-3
    assert np.abs(logit(one, one) - logit(one, two)).max() > 1e-3
    if fused:
        assert np.abs(both - mixed).max() > 1e-4
    else:
        np.testing.assert_allclose(both, mixed, atol=1e-5)


def test_of_late_fusion_the_groups_learn_alone_and_the_mix_its_weights():
    config = small_config(**QUICK, modality_fusion=False)
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    batch = jax.tree.map(jnp.asarray, random_batch(config))
    statistics = unit_statistics(config)

    def mixed(params):
        num_frames = config.data.window.window_frames
        output = functional.forward(
            graphdef, params, batch, statistics, num_frames=num_frames
        )
        assert output.group_scores.shape == (2, *batch["label"].shape)
        return jnp.sum(output.score)

    def loss(params):
        return loss_function(
            objective_of(config), graphdef, params, statistics, batch, None
        )[0]

    of_mix, of_loss = jax.jit(lambda p: (jax.grad(mixed)(p), jax.grad(loss)(p)))(params)
    names = [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(params)]
    learn = {n for n, g in zip(names, jax.tree.leaves(of_mix), strict=True) if g.any()}
    assert learn == {"['fusion']['weights']"}
    idle = [
        n for n, g in zip(names, jax.tree.leaves(of_loss), strict=True) if not g.any()
    ]
    # Nothing is missing from this batch.
    assert all(name.endswith("['missing']") for name in idle), idle


def test_missing_data_in_every_disguise_gives_the_same_score():
    config = small_config()
    score = scorer(config)
    batch = random_batch(config)
    reference = batch | {
        "feature_valid": {
            **batch["feature_valid"],
            "openpose": np.zeros_like(batch["feature_valid"]["openpose"]),
        }
    }
    expected = score(reference)
    assert not np.allclose(expected, score(batch), atol=1e-6)
    # A row of zeros is missing in wide streams alone; `test_missing.py` has both.
    for disguise in (np.nan, np.inf, 3.7e19, -1.0):
        features = dict(batch["features"])
        features["openpose"] = np.full_like(features["openpose"], disguise)
        np.testing.assert_array_equal(score(batch | {"features": features}), expected)


def test_absent_partners_have_no_influence_and_absence_is_not_silence():
    config = small_config(participants=3)
    score, batch = scorer(config), random_batch(small_config(participants=3))
    batch["participant_valid"] = np.tile([True, True, False], (4, 1))
    moved = {n: x.copy() for n, x in batch["features"].items()}
    for x in moved.values():
        x[:, 2] += 3.0
    np.testing.assert_array_equal(score(batch), score(batch | {"features": moved}))
    alone = batch | {"participant_valid": np.tile([True, False, False], (4, 1))}
    assert np.isfinite(score(alone)).all()
    assert not np.array_equal(score(alone), score(batch))


def test_order_of_partners_changes_little():
    config = small_config(participants=3)
    score, batch = scorer(config), random_batch(small_config(participants=3))
    swapped = jax.tree.map(
        lambda x: x[:, [0, 2, 1]] if x.shape[:2] == (4, 3) else x, batch
    )
    # Their slots stay with them; what is left is the order of concatenation.
    difference = np.abs(score(batch) - score(swapped)).max()
    spread = np.ptp(np.asarray(score(batch)))
    assert 0 < difference < 0.2 * spread


def test_forward_interleaved_model_is_causal():
    config = small_config(
        participants=3, direction="forward", partner_order="interleaved"
    )
    score, batch = scorer(config), random_batch(config)
    later = {n: x.copy() for n, x in batch["features"].items()}
    for x in later.values():
        x[:, :, 13:] += 5.0
    before, after = score(batch), score(batch | {"features": later})
    np.testing.assert_array_equal(before[:, :13], after[:, :13])
    assert not np.allclose(before[:, 13:], after[:, 13:])


def test_forward_model_of_concatenated_groups_is_refused():
    with pytest.raises(ValueError, match="partner_order"):
        small_config(participants=3, direction="forward")


@pytest.mark.slow
def test_remat_changes_memory_but_no_number():
    batch = jax.tree.map(jnp.asarray, random_batch(small_config()))
    results = []
    for remat in (False, True):
        config = small_config(remat=remat, dropout=0.3, **QUICK)
        graphdef, params = functional.split_model(
            build_model(config.model, config.data, seed=config.seed)
        )

        def loss(params, config=config, graphdef=graphdef):
            # Dropout draws the same.
            key = jax.random.key(0)
            return loss_function(
                objective_of(config),
                graphdef,
                params,
                unit_statistics(config),
                batch,
                key,
            )[0]

        results.append(jax.jit(jax.value_and_grad(loss))(params))
    (loss_a, grads_a), (loss_b, grads_b) = results
    np.testing.assert_allclose(loss_a, loss_b, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(grads_a), jax.tree.leaves(grads_b), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "transformer"},
        {"modality_fusion": False, "dialogue_dim": 12},
        {"features": FEATURES[2:]},
        {"features": (dataclasses.replace(FEATURES[0], group="text"), *FEATURES[1:])},
        {
            "features": (dataclasses.replace(FEATURES[0], group="text"), *FEATURES[1:]),
            "modality_fusion": False,
        },
        {"ssm": "mamba2", "head_dim": 8, "scan": "chunked"},
    ],
    ids=[
        "transformer",
        "no-modality-fusion",
        "one-feature",
        "three-groups",
        "three-groups-apart",
        "mamba2",
    ],
)
def test_variants_train(change):
    config = small_config(**{**QUICK, **change})
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    batch = jax.tree.map(jnp.asarray, random_batch(config))

    def loss(params):
        return loss_function(
            objective_of(config), graphdef, params, unit_statistics(config), batch, None
        )[0]

    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    assert np.isfinite(value)
    norms = {
        jax.tree_util.keystr(path): float(jnp.abs(g).max())
        for path, g in jax.tree_util.tree_flatten_with_path(grads)[0]
    }
    assert all(np.isfinite(n) for n in norms.values())
    # One group has nothing to be aligned with.
    alone = len({f.group for f in config.data.features}) == 1
    dead = [name for name, n in norms.items() if n == 0]
    allowed = ("align", "missing") if alone else ("missing",)
    assert all(any(word in name for word in allowed) for name in dead), dead


def test_bfloat16_computes_nearly_the_same_scores():
    config = small_config()
    batch = random_batch(config)
    half = replace_model(config, compute_dtype="bfloat16")
    # The library's attention promotes bfloat16 logits to float32 by itself.
    with jax.numpy_dtype_promotion("standard"):
        a, b = scorer(config)(batch), scorer(half)(batch)
    assert b.dtype == jnp.float32
    assert 0 < float(jnp.abs(a - b).max()) < 0.03
