"""Features give the cues back, in the columns and gaps of real extractors."""

import numpy as np
import pytest

from damamba_jax.data.simulated import dialogue, lift
from damamba_jax.schema.release import DEMO_DIMS, REAL_DIMS


def draw_feature(name, dim, seed=0, frames=4000):
    rng = np.random.default_rng(seed)
    recording = dialogue.draw_recording(
        dialogue.Domain(), people=2, frames=frames, rng=rng
    )
    group = lift.GROUPS[name]
    cues = lift.group_cues(recording, 0, group, rng)
    valid = getattr(recording, f"{group}_valid")[0]
    return cues, valid, lift.lift(name, dim, cues, valid, rng)


@pytest.mark.parametrize("name", DEMO_DIMS)
def test_every_cue_is_a_linear_map_of_every_feature(name):
    maps = []
    for seed in (0, 1):
        cues, _, values = draw_feature(name, DEMO_DIMS[name], seed)
        start = 5 if name == "openface2" else 0
        kept = np.isfinite(values).all(axis=1) & (values[:, start:] != 0).all(axis=1)
        kept &= (values[:, start:] != -1).any(axis=1)
        # Scaled, so that least squares is well conditioned; the same map each time.
        columns = lift.draw_lift(name, DEMO_DIMS[name] - start, cues.shape[1])
        x = (values[kept, start:] - columns.centre) / columns.spread
        x = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1)
        maps.append(np.linalg.lstsq(x, cues[kept], rcond=None)[0])
        other = maps[0]
        error = (x @ other - cues[kept]).var(axis=0) / cues[kept].var(axis=0)
        assert (error < 0.02).all(), error
    np.testing.assert_allclose(maps[0], maps[1], atol=0.05)


def test_gaps_look_like_those_of_the_extractors():
    for name, lost in (
        ("egemaps", lambda v: np.isnan(v)),
        ("clip", lambda v: np.isnan(v)),
        ("w2vbert2", lambda v: v == 0),
        ("openpose", lambda v: v == -1),
    ):
        _, valid, values = draw_feature(name, DEMO_DIMS[name])
        assert not valid.all(), "the draw must hold a gap for this to be a test"
        rows = lost(values)
        assert (rows.all(axis=1) == rows.any(axis=1)).all()
        assert rows[~valid].all()
        if name == "openpose":
            assert rows[valid].mean() < 0.1
        else:
            assert not rows[valid].any()


def test_openface_keeps_its_first_columns():
    _, valid, values = draw_feature("openface2", 10)
    np.testing.assert_array_equal(values[:, 0], np.arange(1, 4001))
    np.testing.assert_array_equal(values[:, 1], 0)
    np.testing.assert_allclose(values[:, 2], np.arange(4000) / 25.0, rtol=1e-6)
    np.testing.assert_array_equal(values[:, 4], valid)
    assert (values[~valid][:, [3, *range(5, 10)]] == 0).all()
    assert (values[valid, 3] > 0.8).all()
    with pytest.raises(ValueError, match=r"expected more than 5 columns, got 5"):
        draw_feature("openface2", 5, frames=50)


@pytest.mark.parametrize("name", REAL_DIMS)
def test_values_stay_in_a_realistic_range_at_the_real_widths(name):
    _, valid, values = draw_feature(name, REAL_DIMS[name], frames=500)
    assert values.shape == (500, REAL_DIMS[name]) and values.dtype == np.float32
    # Beyond 1e8 a loader takes values for missing.
    assert np.nanmax(np.abs(values)) < 1e6
    spread = np.nanstd(values[valid][:, 5:], axis=0)
    if name == "egemaps":
        assert spread.max() / spread.min() > 1e4
    assert spread.min() > 0
