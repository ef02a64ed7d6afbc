"""Statistics of single recordings: what they are, how they are kept and travel."""

import dataclasses

import numpy as np
import pytest
from example import PAPER
from test_statistics import FEATURE, gaussian, make_sessions

from damamba_jax.data.batches import session_statistics, windows
from damamba_jax.data.batches.builder import BatchBuilder, BatchRows
from damamba_jax.data.batches.session_statistics import (
    ensure_statistics,
    read_statistics,
)


def compute(session, cache_dir):
    track = session.participants[0].tracks["face"]
    path = ensure_statistics(track, cache_dir=cache_dir)
    return read_statistics(path, dim=FEATURE.dim)


def test_each_recording_has_its_own_median_and_spread(tmp_path):
    arrays = [gaussian(1, length=1500), 3 * gaussian(2, length=1500) + 5]
    for session, values in zip(make_sessions(tmp_path, arrays), arrays, strict=True):
        center, spread = compute(session, tmp_path / "cache")
        np.testing.assert_array_equal(center, np.median(values, axis=0))
        np.testing.assert_allclose(spread, values.std(axis=0), rtol=0.08)


def test_long_recordings_are_sampled_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr(session_statistics, "MAX_FRAMES", 400)
    values = gaussian(3, length=8000)
    values[:, 1] += np.linspace(0, 100, 8000, dtype=np.float32)
    (session,) = make_sessions(tmp_path, [values])
    center, spread = compute(session, tmp_path / "cache")
    np.testing.assert_allclose(center[1], np.median(values[:, 1]), atol=1.5)
    np.testing.assert_allclose(spread[1], 100 / 1.349 / 2, rtol=0.05)


def test_what_is_hardly_there_is_unknown(tmp_path):
    values = gaussian(4, length=300)
    values[40:, 2] = np.inf
    values[:40] = np.nan  # whole frames
    values[40:60, 2] = 7.0
    empty = np.full((300, 9), np.nan, np.float32)
    one, two = make_sessions(tmp_path, [values, empty])
    center, spread = compute(one, tmp_path / "cache")
    known = np.isfinite(center)
    assert known.tolist() == [column != 2 for column in range(9)]
    np.testing.assert_array_equal(known, np.isfinite(spread))
    np.testing.assert_array_equal(center[known], np.median(values[40:], 0)[known])
    assert np.isnan(compute(two, tmp_path / "cache")).all()


def test_results_are_kept_by_content(tmp_path, monkeypatch, caplog):
    cache = tmp_path / "cache"
    values = gaussian(5, length=300)
    (session,) = make_sessions(tmp_path / "a", [values])
    first = compute(session, cache)
    (path,) = (cache / "session-statistics").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(
            session_statistics, "_estimate", lambda frames: pytest.fail("not kept")
        )
        (moved,) = make_sessions(tmp_path / "b", [values])
        np.testing.assert_array_equal(compute(moved, cache), first)
    values[150, 3] += 1
    compute(*make_sessions(tmp_path / "c", [values]), cache)
    assert len(list((cache / "session-statistics").iterdir())) == 2
    for damage in (b"", path.read_bytes()[:-4], b"\x93NUMPY no"):
        path.write_bytes(damage)
        np.testing.assert_array_equal(compute(session, cache), first)
        assert "made anew" in caplog.text
        caplog.clear()


def test_statistics_travel_with_the_people_of_a_batch(tmp_path):
    sessions = make_sessions(tmp_path, [gaussian(s, length=200) for s in (6, 7)])
    lonely = dataclasses.replace(
        sessions[0],
        participants=(dataclasses.replace(sessions[0].participants[0], tracks={}),),
    )
    builder = BatchBuilder(
        [*sessions, lonely],
        features=[FEATURE],
        window=PAPER.data.window,
        cache_dir=str(tmp_path / "cache"),
        normalization="session",
    )
    people = np.array([[1, 0], [0, -1], [2, 1]])
    rows = BatchRows(
        people=people,
        slot=np.tile(np.arange(2), (3, 1)),
        core=np.array([0, 40, 8]),
        row_valid=np.ones(3, bool),
        rated=builder.people.annotations(people[:, 0]),
    )
    found = builder.build(rows)[0]["session_statistics"]["face"]
    assert found.shape == (3, 2, 2, 9) and found.dtype == np.float32
    for index, person in np.ndenumerate(people):
        if person in (0, 1):
            np.testing.assert_array_equal(
                found[index], compute(sessions[person], tmp_path / "cache")
            )
        else:
            assert np.isnan(found[index]).all()


def test_prediction_needs_no_training_split_and_batches_do_not_depend_on_the_start(
    tmp_path,
):
    """A window of a recording carries the same statistics in every source."""
    sessions = make_sessions(tmp_path, [gaussian(s, length=400) for s in (8, 9)])
    data = dataclasses.replace(
        PAPER.data, features=(FEATURE,), participants=1,
        cache_dir=str(tmp_path / "cache"), normalization="session",
    )  # fmt: skip
    by_session = {}
    for chosen in (sessions, sessions[1:]):
        source = windows.EvaluationSource(chosen, data, batch_size=3, targets="all")
        for batch, rows in windows.read_batches(source, num_threads=0, start_step=1):
            for row, session in enumerate(rows.session):
                found = batch["session_statistics"]["face"][row, 0]
                known = by_session.setdefault(chosen[session].id, found)
                np.testing.assert_array_equal(found, known)
    assert len(by_session) == 2
    plain = dataclasses.replace(data, normalization="training")
    source = windows.EvaluationSource(sessions, plain, batch_size=3, targets="all")
    assert "session_statistics" not in source[0].batch
