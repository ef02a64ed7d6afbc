"""Windows that end with their core: no score depends on what was recorded later."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example import small_config, unit_statistics
from forms import FACE, LABEL_RATE, VOICE, layout, streams, values

from damamba_jax.config.rules import check_protocol
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.formats import ssi
from damamba_jax.errors import ConfigError
from damamba_jax.inference.estimator import predict_function
from damamba_jax.inference.sessions import predict_sessions
from damamba_jax.models.functional import build_model, split_model

CORE, FRAME_HZ = 12, 40.0
RATES = {feature.name: feature.rate for feature in (VOICE, FACE)}


def configure(past, future):
    """A model that looks both ways, at a rate that no feature has."""
    config = small_config(features=(VOICE, FACE))
    window = dataclasses.replace(
        config.data.window,
        frame_hz=FRAME_HZ,
        past_frames=past,
        core_frames=CORE,
        future_frames=future,
    )
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, window=window)
    )


def scorer(config):
    """Scores everybody in a corpus, from its files to stitched scores."""
    _, params = split_model(build_model(config.model, config.data, seed=0))
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda x: x + jnp.asarray(0.3 * rng.standard_normal(x.shape), jnp.float32),
        params,
    )
    predict = predict_function(config.model, config.data)
    statistics = {
        name: (center, scale / 64)
        for name, (center, scale) in unit_statistics(config).items()
    }

    def score(root, places):
        found = corpus_index.index(
            root, features=config.data.features, layout=layout(**places)
        )
        data = dataclasses.replace(config.data, cache_dir=str(root / "cache"))
        traces = predict_sessions(
            lambda batch, num_frames: predict(
                params, batch, statistics, num_frames=num_frames
            ),
            found.sessions, data, batch_size=16, frame_multiple=8,
        )  # fmt: skip
        return np.stack([trace.prediction for trace in traces])

    return score


def record_another_future(root, seconds):
    """Replaces whatever was recorded from some time on, for everybody."""
    for path in sorted(root.rglob("*.stream")):
        session, (role, name, _) = path.parent.name, path.name.split(".")
        data, rate = values(session, role, name).copy(), RATES[name]
        first = int(np.ceil(seconds * rate - 1e-9))
        data[first:] = np.random.default_rng(first).normal(0, 64, data[first:].shape)
        ssi.write_stream(path, data, rate)


@pytest.mark.parametrize(
    ("past", "future", "is_hidden"),
    # 30 frames are no whole number of attention chunks.
    [(20, 0, True), (18, 0, True), (12, 1, False)],
)
def test_scores_of_a_core_depend_on_nothing_behind_it(
    tmp_path, past, future, is_hidden
):
    score = scorer(configure(past, future))
    _, places = streams(tmp_path)
    before = score(tmp_path, places)
    time = np.arange(before.shape[1]) / LABEL_RATE
    for core in (0, 7, 25):
        end = (core + 1) * CORE / FRAME_HZ
        record_another_future(tmp_path, end)
        after = score(tmp_path, places)
        earlier = time < end - 1e-9
        assert earlier.any() and not np.array_equal(
            after[:, ~earlier], before[:, ~earlier]
        )
        same = np.array_equal(after[:, earlier], before[:, earlier])
        assert same == is_hidden


def cut(root, seconds):
    """Ends whatever was recorded at some time, for everybody."""
    for path in sorted(root.rglob("*.stream")):
        session, (role, name, _) = path.parent.name, path.name.split(".")
        data, rate = values(session, role, name), RATES[name]
        ssi.write_stream(path, data[: round(seconds * rate)], rate)


def test_a_recording_that_ends_is_scored_as_one_that_goes_on(tmp_path):
    # 30 frames are no whole number of attention chunks, which are filled up.
    score = scorer(configure(18, 0))
    _, places = streams(tmp_path)
    before = score(tmp_path, places)
    # The end of a core of 0.3 s at which both features have a frame: 50 and 25 Hz.
    cut(tmp_path, 3.6)
    after = score(tmp_path, places)
    assert after.shape[1] == round(3.6 * LABEL_RATE) < before.shape[1]
    np.testing.assert_array_equal(after, before[:, : after.shape[1]])


def test_a_pass_over_the_session_never_shows_the_future():
    config = configure(20, 0)
    with pytest.raises(ConfigError, match="'long' shows the whole session"):
        check_protocol(config.model, config.data.window, "long")
    check_protocol(config.model, config.data.window, "stitched")
    check_protocol(config.model, configure(10, 10).data.window, "long")
