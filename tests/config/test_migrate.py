"""Runs that older versions stored: their configurations, presets and checkpoints."""

import copy
import dataclasses
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from example import TINY, random_batch

from damamba_jax.config.migrate import ENTRIES, Added, migrate
from damamba_jax.config.tree import flatten, from_config_dict, from_json, from_tree
from damamba_jax.configs import ablation, baseline, dat, mpiigi, noxi
from damamba_jax.errors import ConfigError
from damamba_jax.inference.estimator import Estimator, load_checkpoint
from damamba_jax.models import functional
from damamba_jax.models.functional import build_model
from damamba_jax.runs.digest import digest, leaves_by_path

STORED = Path(__file__).parent / "stored"
SYSTEMS = ("damamba", "dat", "baseline")
FILES = {
    "noxi": noxi,
    "mpiigi": mpiigi,
    "dat": dat,
    "baseline": baseline,
    "ablation": ablation,
}
PRESETS = json.loads((STORED / "presets.json").read_text())


@pytest.fixture(scope="module")
def estimators(tmp_path_factory) -> dict[str, Estimator]:
    """Models that were trained while every system had the fields of all others."""
    folder = tmp_path_factory.mktemp("stored")
    loaded = {}
    for name in SYSTEMS:
        with tarfile.open(STORED / f"{name}.tar.xz") as archive:
            archive.extractall(folder / name, filter="data")
        loaded[name] = load_checkpoint(folder / name)
    return loaded


@pytest.mark.parametrize("name", SYSTEMS)
def test_stored_checkpoints_predict_what_they_did(estimators, name):
    estimator = estimators[name]
    assert estimator.config.model.system == name
    batch = random_batch(estimator.config, size=2, seed=7)
    expected = np.load(STORED / f"{name}.npy")
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(estimator.predict(batch), expected, atol=1e-6)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_seed_draws_the_parameters_that_it_did(estimators, name):
    config = estimators[name].config
    _, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    expected = json.loads((STORED / "draws.json").read_text())[name]
    # Logarithms and exponentials differ in the last bit between versions of XLA.
    drawn = {
        path: leaf
        for path, leaf in leaves_by_path(params).items()
        if path.rsplit(".", 1)[-1] not in ("dt_bias", "a_log")
    }
    assert digest({"params": drawn}, {})["params"] == expected


def nested(flat: dict) -> dict:
    """Reverses `flatten`, but for lists, which become dicts of indices."""
    tree: dict = {}
    for path, value in flat.items():
        *groups, name = path.split(".")
        group = tree
        for part in groups:
            group = group.setdefault(part, {})
        group[name] = value
    return tree


@pytest.mark.parametrize("key", PRESETS)
def test_presets_have_the_values_that_they_had(key):
    """`presets.json` lists the first preset, and what differs from it in the others."""
    flat = {**PRESETS["noxi:paper"], **PRESETS[key]}
    before = migrate(nested({k: v for k, v in flat.items() if v != "absent"}))
    file, preset = key.split(":")
    now = from_config_dict(FILES[file].get_config(preset))
    # Through JSON, which knows no tuples.
    stored = json.loads(json.dumps(flatten(dataclasses.asdict(now))))
    assert stored == flatten(before)


def test_what_is_up_to_date_stays():
    tree = json.loads(json.dumps(dataclasses.asdict(TINY)))
    before = copy.deepcopy(tree)
    assert migrate(tree) == before == tree


def test_fields_that_did_not_exist_get_the_value_that_was_in_effect():
    tree = json.loads(json.dumps(dataclasses.asdict(TINY)))
    added = [entry for entry in ENTRIES if isinstance(entry, Added)]
    assert added
    for entry in added:
        *groups, name = entry.path.split(".")
        group = tree
        for part in groups:
            group = group[part]
        del group[name]
    config = from_json(json.dumps({k: v for k, v in tree.items() if v != {}}))
    assert config == dataclasses.replace(
        TINY, model=dataclasses.replace(TINY.model, head_dim=64)
    )
    assert from_tree(migrate(dataclasses.asdict(config))) == config


def test_a_window_of_one_context_gets_as_much_past_as_future():
    tree = json.loads(json.dumps(dataclasses.asdict(TINY)))
    window = tree["data"]["window"]
    del window["past_frames"], window["future_frames"]
    window["window_frames"] = 32
    before = copy.deepcopy(tree)
    assert from_json(json.dumps(tree)) == TINY and tree == before
    window["window_frames"] = "many"
    with pytest.raises(ConfigError, match="window_frames`: unknown field"):
        from_json(json.dumps(tree))


@pytest.mark.parametrize("text", ["[1]", '{"model": 3}', '{"name": "x"}', "{}"])
def test_other_files_are_refused_by_name(text):
    with pytest.raises(ConfigError, match="`config"):
        from_json(text)
