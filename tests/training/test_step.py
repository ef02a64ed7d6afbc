"""One step: what it changes, what it leaves alone, and on how many devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from example import (
    FEATURES,
    objective_of,
    random_batch,
    replace_model,
    small_config,
    train_step_of,
    unit_statistics,
)
from jax.sharding import NamedSharding, PartitionSpec

from damamba_jax.config.tree import override
from damamba_jax.models import functional
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import abstract_model, build_model
from damamba_jax.training import losses, objective, optim
from damamba_jax.training import state as train_state
from damamba_jax.training import step as train_step
from damamba_jax.training.objective import loss_function


def structure_of(config):
    return abstract_model(config.model, config.data)[0]


@dataclasses.dataclass
class Setup:
    """A compiled step of a small model with dropout, its first state and a batch."""

    def __post_init__(self):
        config = small_config(
            features=FEATURES[1:], dropout=0.2, dialogue_blocks=0, audio_blocks=0,
            visual_blocks=0, direction="forward",
        )  # fmt: skip
        self.config = dataclasses.replace(
            config, optim=dataclasses.replace(config.optim, warmup_steps=0)
        )
        self.graphdef, params = functional.split_model(
            build_model(self.config.model, self.config.data, seed=self.config.seed)
        )
        self.optimizer = optim.optimizer(self.config.optim, self.config.train.steps)
        self.step = jax.jit(train_step_of(self.config, self.graphdef, self.optimizer))
        self.state = train_state.create(params, self.optimizer, seed=3)
        self.batch = random_batch(self.config)
        self.statistics = unit_statistics(self.config)

    def run(self, state=None, batch=None):
        # Optax's bias correction mixes integers and floats.
        with jax.numpy_dtype_promotion("standard"):
            return self.step(
                state or self.state, batch or self.batch, self.statistics
            )  # fmt: skip


@pytest.fixture(scope="module")
def setup():
    return Setup()


@pytest.fixture(scope="module")
def first(setup):
    return setup.run()


def assert_equal(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def changed(one, two):
    """Whether anything of an array changed, for each array of the model."""
    return [
        bool(np.any(np.asarray(a) != np.asarray(b)))
        for a, b in zip(
            jax.tree.leaves(one.to_tree()), jax.tree.leaves(two.to_tree()), strict=True
        )
    ]


def test_a_step_moves_parameters_average_and_counters(setup, first):
    state, scalars = first
    assert (int(state.step), int(state.skipped), int(state.bad_steps)) == (1, 0, 0)
    assert np.mean(changed(state.params, setup.state.params)) > 0.9
    expected = jax.tree.map(
        lambda old, new: 0.1 * old + 0.9 * new, setup.state.params, state.params
    )
    jax.tree.map(
        lambda got, wanted: np.testing.assert_allclose(got, wanted, atol=1e-6),
        state.average,
        expected,
    )
    assert float(scalars["lr"]) == pytest.approx(1e-3)
    terms = {key: float(value) for key, value in scalars.items()}
    assert terms["loss"] == pytest.approx(
        1 - terms["ccc"] + 0.4 * terms["infonce"], rel=1e-5
    )
    assert np.isfinite(list(terms.values())).all()


def test_a_step_is_optax_on_the_gradient_of_the_loss(monkeypatch):
    """On a loss whose gradient is known: the sum of squares of the parameters."""

    def squares(config, graphdef, params, statistics, batch, key):
        loss = batch["scale"] * sum(jnp.sum(x * x) for x in jax.tree.leaves(params))
        return loss, {"loss": loss}

    monkeypatch.setattr(train_step, "loss_function", squares)
    config = small_config()
    optimizer = optim.optimizer(config.optim, config.train.steps)
    params = {"out": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full((3,), -1.0)}}
    state = train_state.create(params, optimizer, seed=0)
    params = FlatParams.from_tree(params)
    opt_state = optimizer.init(params)
    step = train_step_of(config, structure_of(config), optimizer)
    with jax.numpy_dtype_promotion("standard"):
        for number in range(4):
            scale = jnp.float32(1.0 if number != 2 else np.nan)
            state, scalars = step(state, {"scale": scale}, {})
            if number == 2:
                continue
            gradient = jax.tree.map(lambda x: 2 * x, params)
            norm = optax.tree.norm(gradient)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            params = optax.apply_updates(params, updates)
            assert float(scalars["grad_norm"]) == pytest.approx(float(norm), rel=1e-6)
    assert (int(state.step), int(state.skipped), int(state.bad_steps)) == (4, 1, 0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        (state.params, state.opt_state),
        (params, opt_state),
    )


def test_a_step_that_is_not_finite_changes_nothing_but_counters(setup, first):
    before, _ = first
    batch = dict(setup.batch, label=np.full_like(setup.batch["label"], np.nan))
    state, scalars = setup.run(before, batch)
    assert not np.isfinite(float(scalars["loss"]))
    assert (int(state.step), int(state.skipped), int(state.bad_steps)) == (2, 1, 1)
    kept = ("params", "average", "opt_state", "rng")
    for name in kept:
        assert_equal(getattr(state, name), getattr(before, name))
    state, _ = setup.run(state, batch)
    assert (int(state.step), int(state.skipped), int(state.bad_steps)) == (3, 2, 2)
    state, scalars = setup.run(state)
    assert (int(state.step), int(state.skipped), int(state.bad_steps)) == (4, 2, 0)
    assert np.mean(changed(state.params, before.params)) > 0.9
    # The learning rate is that of the updates done, not of the batches seen.
    rate = optim.learning_rate(setup.config.optim, setup.config.train.steps)
    assert float(scalars["lr"]) == pytest.approx(float(rate(1)), rel=1e-6)


def test_each_step_draws_its_own_dropout(setup):
    def loss(step):
        state = setup.state._replace(step=jnp.int32(step))
        return float(setup.run(state)[1]["loss"])

    assert loss(0) == loss(0)
    assert loss(0) != loss(1)


def test_equal_states_and_batches_give_equal_bits(setup, first):
    assert_equal(setup.run(), first)


def test_four_devices_compute_what_one_does(setup, first):
    devices = jax.devices()
    if len(devices) < 4:
        pytest.skip("needs 4 devices; the suite's XLA_FLAGS make virtual ones")
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    batch = jax.device_put(setup.batch, NamedSharding(mesh, PartitionSpec("data")))
    state = jax.device_put(setup.state, NamedSharding(mesh, PartitionSpec()))
    got, scalars = setup.run(state, batch)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        dict(scalars),
        dict(first[1]),
    )
    # Adam's first step is lr * sign(gradient): compare where the sign is certain.
    moments = optax.tree.get(first[0].opt_state, "mu")

    def compare(one, two, moment):
        certain = np.abs(moment) > 1e-6
        np.testing.assert_allclose(
            np.asarray(one)[certain], np.asarray(two)[certain], atol=2e-5
        )

    jax.tree.map(compare, got.params, first[0].params, moments)


@pytest.mark.parametrize("names", [("openpose",), ("egemaps", "w2v")])
def test_the_loss_of_one_modality_group_has_no_alignment(names):
    config = small_config()
    features = tuple(f for f in config.data.features if f.name in names)
    config = small_config(features=features)
    graphdef, params = abstract_model(config.model, config.data)
    _, terms = jax.eval_shape(
        lambda p, b: loss_function(
            objective_of(config), graphdef, p, unit_statistics(config), b, None
        ),
        params,
        random_batch(config),
    )
    assert {key: value.shape for key, value in terms.items()} == dict.fromkeys(
        ("loss", "ccc", "infonce", "infonce_aligned"), ()
    )


def test_the_configured_concordance_and_weights_are_used():
    batch = random_batch(small_config())
    batch["label_valid"][0, 3:9] = False
    batch = jax.tree.map(jnp.asarray, batch)
    label, valid, core = (batch[f"label{k}"] for k in ("", "_valid", "_core"))
    score = jnp.asarray(random_batch(small_config(), seed=1)["label"])

    def concordance(*, past=8, **fields):
        context = {"past_frames": past, "future_frames": 16 - past}
        config = override(small_config(), {f"optim.{k}": v for k, v in fields.items()})
        config = override(config, {f"data.window.{k}": v for k, v in context.items()})
        return objective.compare(objective_of(config), score, batch)

    weight = jnp.where(core, 1.0, 0.25)
    # Half a window is 12 frames, 0.5 of it one deviation.
    near = jnp.exp(-0.5 * ((jnp.arange(24.0) - 12) / 6) ** 2)[None]
    near = jnp.broadcast_to(near, label.shape)
    for fields, expected in (
        ({}, losses.ccc(score, label, valid & core)),
        ({"loss": "ccc-window"}, losses.window_ccc(score, label, valid & core)),
        ({"context_weight": 0.25}, losses.ccc(score, label, valid, weight)),
        ({"center_sigma": 0.5}, losses.ccc(score, label, valid & core, near)),
        (
            {"loss": "ccc-window", "center_sigma": 0.5, "context_weight": 0.25},
            losses.window_ccc(score, label, valid, weight * near),
        ),
    ):
        np.testing.assert_allclose(concordance(**fields), expected, atol=1e-6)
    late = jnp.exp(-0.5 * ((jnp.arange(24.0) - 20) / 6) ** 2)[None]
    late = losses.ccc(score, label, valid & core, jnp.broadcast_to(late, label.shape))
    around_core = concordance(past=16, center_sigma=0.5)
    np.testing.assert_allclose(around_core, late, atol=1e-6)
    values = [concordance(), concordance(context_weight=0.25)]
    values += [concordance(center_sigma=0.5), concordance(loss="ccc-window")]
    assert len({round(float(value), 4) for value in values}) == 4


@pytest.mark.parametrize("rate", ["modality_dropout", "feature_dropout"])
def test_steps_of_a_model_without_dropout_draw_what_goes_missing(monkeypatch, rate):
    keys = []
    monkeypatch.setattr(
        train_step, "loss_function",
        lambda config, graphdef, params, statistics, batch, key: (
            keys.append(key) or jnp.sum(params["w"]), {}
        ),
    )  # fmt: skip
    for config in (small_config(), small_config(**{rate: 0.2})):
        optimizer = optim.optimizer(config.optim, config.train.steps)
        state = train_state.create({"w": jnp.ones(2)}, optimizer, seed=0)
        with jax.numpy_dtype_promotion("standard"):
            train_step_of(config, structure_of(config), optimizer)(state, {}, {})
    assert keys[0] is None and keys[1] is not None


def test_only_core_frames_are_scored(monkeypatch):
    config = replace_model(small_config(), partner_fusion=False)
    batch = random_batch(config)
    masks = []
    monkeypatch.setattr(
        losses, "ccc", lambda p, y, mask, _: masks.append(mask) or jnp.float32(0.0)
    )
    batch["label_valid"][0] = False
    graphdef, params = abstract_model(config.model, config.data)
    jax.eval_shape(
        lambda p: loss_function(
            objective_of(config), graphdef, p, unit_statistics(config), batch, None
        ),
        params,
    )
    (mask,) = masks
    np.testing.assert_array_equal(mask, batch["label_valid"] & batch["label_core"])
    assert mask.any() and not mask.all()
