"""Every system goes through the same loss, step and checkpoint."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example import (
    FEATURES,
    objective_of,
    random_batch,
    small_config,
    small_system,
    train_step_of,
    unit_statistics,
)

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import to_json
from damamba_jax.inference import estimator
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.models import functional
from damamba_jax.models.baseline import Baseline
from damamba_jax.models.damamba import DAMamba
from damamba_jax.models.dat import DAT
from damamba_jax.models.functional import abstract_model, build_model, parameter_counts
from damamba_jax.schema.statistics import FeatureStatistics
from damamba_jax.training import optim
from damamba_jax.training import state as train_state
from damamba_jax.training.objective import loss_function
from damamba_jax.training.saver import Saver

ROOT = Path(__file__).parents[2]
SYSTEMS = {"damamba": DAMamba, "dat": DAT, "baseline": Baseline}


def system(name: str) -> Config:
    return small_config() if name == "damamba" else small_system(name)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_configuration_chooses_the_system(name):
    config = system(name)
    assert type(build_model(config.model, config.data, seed=None)) is SYSTEMS[name]


def test_no_other_system_is_imported():
    program = (
        "import sys; from damamba_jax.config.tree import from_config_dict; "
        "from damamba_jax.configs import noxi; "
        "from damamba_jax.models.functional import abstract_model; "
        "config = from_config_dict(noxi.get_config('tiny')); "
        "abstract_model(config.model, config.data); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = done.stdout.split()
    assert "damamba_jax.models.damamba" in loaded
    assert not {"damamba_jax.models.dat", "damamba_jax.models.baseline"} & set(loaded)


@pytest.mark.parametrize("name", ["dat", "baseline"])
def test_a_step_trains_and_its_checkpoint_predicts(name, tmp_path):
    # Few blocks: what they compute is tested where they are defined.
    few = {
        "dat": dict(
            dim=4, num_heads=1, feature_head_dim=4, group_head_dim=4,
            feature_ffn_dim=4, group_ffn_dim=4, group_blocks=0,
        ),
        "baseline": {},
    }[name]  # fmt: skip
    config = small_system(name, dropout=0.2, features=FEATURES[2:], **few)
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    optimizer = optim.optimizer(config.optim, config.train.steps)
    state = train_state.create(params, optimizer, seed=0)
    step = jax.jit(train_step_of(config, graphdef, optimizer))
    batch, statistics = random_batch(config), unit_statistics(config)
    # Optax's bias correction mixes integers and floats.
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(3):
            state, scalars = step(state, batch, statistics)
    assert (int(state.step), int(state.skipped)) == (3, 0)
    assert not {"infonce", "infonce_aligned"} & scalars.keys()
    np.testing.assert_allclose(scalars["loss"], 1 - scalars["ccc"], rtol=1e-6)
    moved = jax.tree.map(
        lambda a, b: bool(jnp.any(a != b)), state.params.to_tree(), dict(params)
    )
    still = [
        jax.tree_util.keystr(path)
        for path, changed in jax.tree_util.tree_flatten_with_path(moved)[0]
        if not changed
    ]
    # No frame is missing in this batch.
    assert all("missing" in path for path in still), still

    (tmp_path / "config.json").write_text(to_json(config))
    saver = Saver(
        tmp_path,
        statistics={n: FeatureStatistics(*arrays) for n, arrays in statistics.items()},
        simulated=True,
        keep=1,
    )
    saver.save(state)
    saver.close()
    loaded = load_checkpoint(tmp_path)
    assert loaded.config == config
    expected = estimator.make_predict(graphdef)(
        state.average, batch, statistics, num_frames=24
    )
    np.testing.assert_array_equal(loaded.predict(batch), expected)


@pytest.mark.parametrize("name", SYSTEMS)
def test_session_statistics_take_the_offset_and_scale_of_a_recording_away(name):
    # Without most blocks: features are read before them.
    quick = {"feature_blocks": 0, "audio_blocks": 0, "visual_blocks": 0}
    plain = small_config(**quick) if name == "damamba" else small_system(name)
    data = dataclasses.replace(plain.data, normalization="session")
    config = dataclasses.replace(plain, data=data)
    batch, people = random_batch(config), config.data.participants
    batch["session_statistics"] = {
        f.name: np.tile(np.float32([[0], [1]]), (4, people, 1, f.dim))
        for f in config.data.features
    }
    moved = {n: x.copy() for n, x in batch["features"].items()}
    moved["w2v"][0] = 3.0 * moved["w2v"][0] + 7.0
    known = {n: x.copy() for n, x in batch["session_statistics"].items()}
    known["w2v"][0] = np.array([[7.0], [3.0]])
    score = scorer(config)
    expected = score(batch)
    assert not np.allclose(score(batch | {"features": moved}), expected, atol=1e-4)
    got = score(batch | {"features": moved, "session_statistics": known})
    np.testing.assert_allclose(got, expected, atol=1e-5)
    # Unknown statistics are the training split's.
    unknown = {n: np.full_like(x, np.nan) for n, x in known.items()}
    np.testing.assert_array_equal(
        score(batch | {"session_statistics": unknown}), scorer(plain)(batch)
    )


def scorer(config: Config):
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    predict = estimator.make_predict(graphdef)
    statistics = unit_statistics(config)
    return lambda batch: predict(params, batch, statistics, num_frames=24)


@pytest.mark.parametrize("name", SYSTEMS)
def test_stages_add_up_to_all_parameters(name):
    config = system(name)
    _, params = abstract_model(config.model, config.data)
    counts = parameter_counts(params)
    assert sum(counts.values()) == sum(x.size for x in jax.tree.leaves(params))
    if name == "dat":
        assert {"target/features", "partner/stacks", "dialogue"} <= counts.keys()


def test_without_its_weight_infonce_is_left_out():
    config = small_config()
    every = {"loss", "ccc", "infonce", "infonce_aligned"}
    assert loss_terms(config) == every
    silent = dataclasses.replace(config.optim, infonce_weight=0.0)
    config = dataclasses.replace(config, optim=silent)
    assert loss_terms(config) == {"loss", "ccc"}


def loss_terms(config: Config) -> set[str]:
    graphdef, params = abstract_model(config.model, config.data)
    _, terms = jax.eval_shape(
        lambda p, b: loss_function(
            objective_of(config), graphdef, p, unit_statistics(config), b, None
        ),
        params,
        random_batch(config),
    )
    return set(terms)
