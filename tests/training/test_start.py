"""A run that starts from another one with other features takes over what fits."""

import dataclasses
import logging

import jax
import numpy as np
import pytest
from example import TINY
from forms import FACE, VOICE, configure_data, lines, streams
from rich.console import Console

from damamba_jax.data.open import open_corpus
from damamba_jax.errors import ConfigError, ShapeError
from damamba_jax.inference.estimator import Estimator
from damamba_jax.models.functional import draw_parameters
from damamba_jax.runs.digest import leaves_by_path
from damamba_jax.schema.statistics import FeatureStatistics
from damamba_jax.training import start


def configure(root, features, **model):
    features_on_disk, places = streams(root)
    del features_on_disk
    data = configure_data(root, features, places | lines(root))
    model = dataclasses.replace(TINY.model, **model)
    return dataclasses.replace(TINY, data=data, model=model, init_from="origin")


@pytest.fixture
def begin(monkeypatch, tmp_path):
    """Starts a run from one of the features voice and face."""
    trained = configure(tmp_path, (VOICE, FACE))
    with jax.numpy_dtype_promotion("standard"):
        params = draw_parameters(trained.model, trained.data, seed=7)
    statistics = {
        f.name: FeatureStatistics(np.full(f.dim, 3.0), np.full(f.dim, 0.5))
        for f in (VOICE, FACE)
    }
    origin = Estimator(
        config=trained, params=params, statistics=statistics, simulated=False, step=1
    )
    monkeypatch.setattr(start, "load_checkpoint", lambda path: origin)

    def begin(features, **model):
        config = configure(tmp_path, features, **model)
        sessions = open_corpus(config.data).sessions
        with jax.numpy_dtype_promotion("standard"):
            made = start.initialize(
                config, sessions, Console(quiet=True), simulated=False
            )
            fresh = draw_parameters(config.model, config.data, seed=config.seed)
        return made, leaves_by_path(made.params), leaves_by_path(fresh)

    begin.origin = origin
    return begin


def test_the_same_features_take_over_everything(begin):
    made, params, _ = begin((VOICE, FACE))
    for path, leaf in leaves_by_path(begin.origin.params).items():
        np.testing.assert_array_equal(params[path], leaf)
    assert made.statistics == begin.origin.statistics


def test_a_new_feature_starts_fresh_beside_what_was_trained(begin, caplog, monkeypatch):
    wide = dataclasses.replace(FACE, drop_columns=(1,))
    # A command that ran in this process before keeps its messages to itself.
    monkeypatch.setattr(logging.getLogger("damamba_jax"), "propagate", True)
    with caplog.at_level(logging.INFO, logger="damamba_jax"):
        made, params, fresh = begin((VOICE, wide))
    stored = leaves_by_path(begin.origin.params)
    same = {path for path in params if np.array_equal(params[path], fresh[path])}
    taken = {
        path
        for path, leaf in params.items()
        if path in stored and np.array_equal(leaf, stored[path])
    }
    assert taken and any("voice" in path for path in taken)
    assert all("face" not in path for path in taken - same)
    face = [path for path in params if "face" in path.split(".")]
    assert face and all(path in same for path in face)
    np.testing.assert_array_equal(made.statistics["voice"].center, 3.0)
    assert np.abs(np.asarray(made.statistics["face"].center) - 3.0).min() > 1e-3
    # Some versions of pytest catch a message twice.
    messages = {record.getMessage() for record in caplog.records}
    (said,) = [message for message in messages if "taken over" in message]
    assert "features that were trained: voice" in said and "face" in said


def test_another_width_of_the_same_features_is_a_mistake(begin):
    with pytest.raises(ShapeError, match="in the checkpoint, but"):
        begin((VOICE, FACE), dim=16)


def test_nothing_that_fits_is_a_mistake(begin):
    wide = dataclasses.replace(FACE, drop_columns=(1,))
    with pytest.raises(ConfigError, match="no parameter of origin fits"):
        begin.origin.params = {"other": np.zeros(3)}
        begin((VOICE, wide))
