"""Shares of groups and features that go missing, and those that never do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example import random_batch, small_config, unit_statistics

from damamba_jax.models import functional
from damamba_jax.models.functional import build_model
from damamba_jax.models.modality_dropout import drop_modalities

GROUPS = {"audio": ("ege", "w2v"), "visual": ("clip", "pose", "face")}
WINDOWS = 2000


def drop(group_rate, feature_rate, groups=GROUPS, seed=0, **absent):
    """Features that survive, bool [windows, person], by name; `absent` ones have no
    data in the windows that are named."""
    valid = {
        name: np.ones((WINDOWS, 2, 3), bool) for names in groups.values()
        for name in names
    }  # fmt: skip
    for name, windows in absent.items():
        valid[name][windows] = False
    kept = drop_modalities(
        jax.tree.map(jnp.asarray, valid), groups, jax.random.key(seed),
        group_rate=group_rate, feature_rate=feature_rate,
    )  # fmt: skip
    for name in kept:
        frames = np.asarray(kept[name])
        assert (frames.all(-1) == frames.any(-1)).all(), "a window is dropped whole"
        assert not (frames & ~valid[name]).any()
    return {name: np.asarray(x).all(-1) for name, x in kept.items()}


def of_groups(kept, groups=GROUPS):
    """Groups of which something survives, bool [group, windows, person]."""
    return np.array([np.any([kept[n] for n in names], 0) for names in groups.values()])


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("num", [2, 3, 4])
def test_each_group_is_dropped_at_its_rate_and_never_all(rate, num):
    groups = {str(i): (f"f{i}", f"g{i}") for i in range(num)}
    kept = of_groups(drop(rate, 0.0, groups), groups)
    assert kept.any(axis=0).all()
    # Standard error 0.008.
    np.testing.assert_allclose(1 - kept.mean(axis=(1, 2)), rate, atol=0.035)


def test_people_and_windows_draw_for_themselves():
    audio = of_groups(drop(0.4, 0.0))[0]
    assert 0.5 < (audio[:, 0] == audio[:, 1]).mean() < 0.6  # 0.52 if independent
    assert 0.4 < (audio[1:] == audio[:-1]).mean() < 0.65


def test_a_group_goes_missing_with_all_its_features():
    kept = drop(0.3, 0.0)
    for names in GROUPS.values():
        for name in names[1:]:
            np.testing.assert_array_equal(kept[name], kept[names[0]])


def test_features_are_dropped_one_by_one_and_one_always_stays():
    kept = drop(0.0, 0.7)
    assert np.any(list(kept.values()), axis=0).all()
    # 0.7 but for the spared one: a half, then a half or a third.
    for name, share in (("ege", 1 / 4), ("face", 1 / 6)):
        np.testing.assert_allclose(1 - kept[name].mean(), 0.7 * (1 - share), atol=0.03)
    assert 0.2 < (kept["ege"] != kept["w2v"]).mean() < 0.8


def test_what_has_no_data_is_never_the_one_that_is_spared():
    gone = slice(0, WINDOWS // 2)
    kept = drop(0.5, 0.5, clip=gone, pose=gone, face=gone)
    assert np.any(list(kept.values()), axis=0).all()
    # There the other group is the only one, and is not dropped.
    assert of_groups(kept)[0][gone].all()
    kept = drop(0.0, 0.9, ege=gone, clip=gone, pose=gone)
    assert np.any(list(kept.values()), axis=0).all()


def test_only_training_drops_and_a_dropped_group_is_a_missing_one():
    config = small_config(
        direction="forward", modality_dropout=0.5, participants=1,
        feature_blocks=0, audio_blocks=0, visual_blocks=0, dialogue_blocks=0,
    )  # fmt: skip
    graphdef, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    batch = random_batch(config, size=16)

    @jax.jit
    def run(batch, key):
        return functional.forward(
            graphdef, params, batch, unit_statistics(config), num_frames=24, key=key
        )

    clean = run(batch, None)
    assert clean.group_valid["audio"].all() and clean.group_valid["visual"].all()
    dropped = run(batch, jax.random.key(0))
    valid = np.array([dropped.group_valid[g][:, 0] for g in ("audio", "visual")])
    assert 0.1 < (~valid).any(axis=0).mean() and valid.any(axis=0).all()
    groups = {"egemaps": 0, "w2v": 0, "openpose": 1}
    without = {
        name: mask & valid[groups[name]][:, None, None]
        for name, mask in batch["feature_valid"].items()
    }
    expected = run(batch | {"feature_valid": without}, None)
    np.testing.assert_allclose(dropped.score, expected.score, atol=1e-6)
    assert not np.allclose(dropped.score, clean.score, atol=1e-6)
