"""Centre and spread against NumPy, and what counts as missing."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.batches import statistics as batch_statistics
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.data.formats import ssi
from damamba_jax.models import layers
from damamba_jax.schema.statistics import from_arrays, to_arrays

FEATURE = FeatureConfig(
    name="face", dim=9, group="visual", rate=25.0, stems=("face",), drop_columns=(0,)
)
POSE = dataclasses.replace(
    FEATURE, name="pose", drop_columns=(), missing_value=-1.0, stems=("pose",)
)


def make_sessions(folder, arrays, feature=FEATURE, valid=None):
    """One session per array, with one person."""
    sessions = []
    folder.mkdir(exist_ok=True)
    for index, array in enumerate(arrays):
        path = folder / f"{index}.{feature.name}.stream"
        ssi.write_stream(path, array, 25.0, valid=valid)
        track = Track(
            feature=feature,
            path=path,
            rate=25.0,
            num_frames=len(array),
            header_rate=25.0,
        )
        person = Participant(role="expert", tracks={feature.name: track})
        sessions.append(
            Session(
                corpus="noxi",
                split="noxi/train",
                id=f"{index:03d}",
                participants=(person,),
                duration=len(array) / 25,
                label_rate=25.0,
                language=None,
            )
        )
    return sessions


def gaussian(seed, length=4000, dim=9):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((length, dim)) * np.resize(
        [1, 2, 0.1, 5, 30, 1], dim
    ) + np.arange(dim)
    return values.astype(np.float32)


def fit(sessions, cache_dir, feature=FEATURE, **kwargs):
    fitted = batch_statistics.fit_statistics(
        sessions, [feature], cache_dir=cache_dir, **kwargs
    )
    assert list(fitted) == [feature.name]
    return fitted[feature.name]


def test_gaussian_columns_give_median_and_deviation(tmp_path):
    arrays = [gaussian(1), gaussian(2)]
    fitted = fit(make_sessions(tmp_path, arrays), tmp_path / "cache")
    everything = np.concatenate(arrays)
    np.testing.assert_array_equal(fitted.center, np.median(everything, axis=0))
    assert fitted.inverse_scale[0] == 0
    np.testing.assert_allclose(
        1 / fitted.inverse_scale[1:], everything.std(axis=0)[1:], rtol=0.04
    )


def test_outliers_constants_and_rare_events(tmp_path):
    values = gaussian(3)
    clean = fit(make_sessions(tmp_path / "a", [values]), tmp_path / "cache")
    values = values.copy()
    values[::200, 1] = 1e7
    values[:, 2] = 1e4
    values[:, 3] = np.arange(4000) % 10 == 0
    values[:, 4] = np.arange(4000) % 1000 == 0
    values[:, 5] *= np.where(np.arange(4000) % 8, 0.01, 1)
    fitted = fit(make_sessions(tmp_path / "b", [values]), tmp_path / "cache")
    scale = fitted.inverse_scale
    np.testing.assert_allclose(scale[1], clean.inverse_scale[1], rtol=0.1)
    assert fitted.center[2] == 1e4 and scale[2] == 0
    np.testing.assert_allclose(1 / scale[3], 0.3, rtol=1e-3)
    np.testing.assert_allclose(1 / scale[4], values[:, 4].std(), rtol=1e-3)
    quartiles = np.percentile(values[:, 5], [25, 75])
    cut = np.clip(values[:, 5], *np.percentile(values[:, 5], [1, 99]))
    assert cut.std() > 5 * (quartiles[1] - quartiles[0])
    np.testing.assert_allclose(1 / scale[5], cut.std(), rtol=1e-3)
    assert np.isfinite(scale).all()


def test_missing_frames_and_entries_do_not_count(tmp_path):
    clean = gaussian(4)
    dirty = clean.copy()
    dirty[10:500, 1:] = 0  # the frame number goes on
    dirty[600:900, 2:] = 3.69e19
    dirty[1000:1100] = np.nan
    dirty[2000:2050, 1] = np.inf
    dirty[2050:2100, 1] = -3.69e19
    keep = np.ones(4000, bool)
    keep[10:500] = keep[600:900] = keep[1000:1100] = False
    fitted = fit(make_sessions(tmp_path, [dirty]), tmp_path / "cache")
    np.testing.assert_array_equal(fitted.center[2:], np.median(clean[keep, 2:], axis=0))
    keep[2000:2100] = False
    assert fitted.center[1] == np.median(clean[keep, 1])


def test_gaps_and_undetected_poses_do_not_count(tmp_path):
    values = gaussian(5)
    valid = np.ones(4000, bool)
    valid[100:400] = False
    values[500:700] = -1.0
    sessions = make_sessions(tmp_path, [values], POSE, valid)
    fitted = fit(sessions, tmp_path / "cache", POSE)
    keep = valid & (np.arange(4000) // 100 != 5) & (np.arange(4000) // 100 != 6)
    np.testing.assert_array_equal(fitted.center, np.median(values[keep], axis=0))


@pytest.mark.parametrize("feature", [FEATURE, POSE], ids=["face", "pose"])
def test_host_and_device_agree_on_what_is_missing(feature):
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((400, 9)).astype(np.float32)
    fills = np.array([np.nan, np.inf, -np.inf, 2e8, -1.0, 1e8, 0.0], np.float32)
    replace = rng.random((400, 9)) < rng.random((400, 1))
    frames[replace] = rng.choice(fills, int(replace.sum()))
    frames[::7] = 0.0
    frames[::14, 0] = 5.0  # a frame number: not zero where the face is lost
    entry, frame = batch_statistics.missing_entries(frames, feature=feature)
    scale = np.ones(9, np.float32)
    scale[list(feature.drop_columns)] = 0
    _, valid = layers.standardize(
        jnp.asarray(frames), jnp.ones(400, bool), jnp.zeros(9), jnp.asarray(scale),
        feature.missing_value,
    )  # fmt: skip
    np.testing.assert_array_equal(frame, ~np.asarray(valid))
    assert 50 < frame.sum() < 350


def test_long_corpora_are_sampled_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_statistics, "MAX_FRAMES", 1000)
    ramp = np.arange(50_000, dtype=np.float32)[:, None] * np.ones(9, np.float32) + 1
    sessions = make_sessions(tmp_path, [ramp, ramp])
    read = []
    original = batch_statistics.valid_frames
    monkeypatch.setattr(
        batch_statistics,
        "valid_frames",
        lambda *args: read.append(original(*args)) or read[-1],
    )
    fitted = fit(sessions, tmp_path / "cache")
    assert 900 <= sum(map(len, read)) <= 1000
    np.testing.assert_allclose(fitted.center, 25_000, rtol=0.005)


def test_short_streams_are_read_whole(tmp_path):
    values = gaussian(6, length=5)
    fitted = fit(make_sessions(tmp_path, [values, values[:0]]), tmp_path / "cache")
    np.testing.assert_array_equal(fitted.center, np.median(values, axis=0))


def test_the_cache_follows_the_content(tmp_path):
    cache = tmp_path / "cache"
    values = gaussian(7)
    progress = []
    first = fit(
        make_sessions(tmp_path / "a", [values]), cache, progress=progress.append
    )
    assert [(p.feature, p.done, p.total, p.eta_seconds) for p in progress] == [
        ("face", 1, 1, 0.0)
    ]
    # A corpus that moved is not read again; one with other values is.
    moved = make_sessions(tmp_path / "b", [values])
    again = fit(moved, cache, progress=progress.append)
    assert len(progress) == 1
    np.testing.assert_array_equal(again.center, first.center)
    other = fit(make_sessions(tmp_path / "c", [values + 1]), cache)
    assert not np.array_equal(other.center, first.center)
    (damaged,) = [
        f for f in cache.iterdir() if np.load(f)["center"][1] == first.center[1]
    ]
    damaged.write_bytes(damaged.read_bytes()[:100])
    np.testing.assert_array_equal(fit(moved, cache).center, first.center)
    assert not list(cache.glob("*.part"))


def test_arrays_round_trip_and_are_checked(tmp_path):
    fitted = {"face": fit(make_sessions(tmp_path, [gaussian(8)]), tmp_path / "cache")}
    arrays = to_arrays(fitted)
    back = from_arrays(arrays, [FEATURE])
    np.testing.assert_array_equal(back["face"].center, fitted["face"].center)
    with pytest.raises(ValueError, match="expected statistics of 'pose', got only"):
        from_arrays(arrays, [POSE])
    wider = dataclasses.replace(FEATURE, dim=7)
    with pytest.raises(ValueError, match=r"'face'.*expected shape \(7,\), got \(9,\)"):
        from_arrays(arrays, [wider])


def test_a_feature_without_frames_is_an_error(tmp_path):
    sessions = make_sessions(tmp_path, [gaussian(9) * np.float32(np.nan)])
    with pytest.raises(ValueError, match="'face'.*noxi/train, got none in 1 streams"):
        fit(sessions, tmp_path / "cache")
    with pytest.raises(ValueError, match="'pose'.*got none in 0 streams"):
        fit(sessions, tmp_path / "cache", POSE)


def test_zeros_of_flags_count_and_gaps_of_integers_do_not(tmp_path):
    flag = dataclasses.replace(FEATURE, name="flag", dim=1, drop_columns=())
    values = (np.arange(4000) // 25 % 5 < 2).astype(np.int32)[:, None]
    valid = np.ones(4000, bool)
    valid[:1000] = False
    values[:1000] = 0
    (session,) = make_sessions(tmp_path, [values], flag, valid)
    (fitted,) = batch_statistics.fit_statistics(
        [session], [flag], cache_dir=tmp_path / "cache"
    ).values()
    recorded = values[1000:]
    assert fitted.center == np.median(recorded) and fitted.inverse_scale > 0
    np.testing.assert_allclose(1 / fitted.inverse_scale, 1 / 1.349, rtol=0.01)
    stream = session.participants[0].tracks["flag"].open()
    frames = batch_statistics.valid_frames(stream, 0, 4000, flag)
    np.testing.assert_array_equal(frames, recorded)
