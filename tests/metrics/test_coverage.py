"""Bands around scores hold what they say, on sessions that they were not made of."""

import numpy as np
import pytest

from damamba_jax.errors import WorkdirError
from damamba_jax.metrics.coverage import measure_band
from damamba_jax.metrics.trace import Trace
from damamba_jax.runs.bands import Bands, read_bands, write_bands


def draw(count, rng, *, spread=0.0, frames=400):
    traces = []
    for i in range(count):
        label = rng.uniform(size=frames)
        scale = 0.1 * np.exp(spread * rng.normal())
        traces.append(
            Trace(
                split="mine/val", session=str(i), role="ann", label=label,
                prediction=label + scale * rng.normal(size=frames),
            )
        )  # fmt: skip
    return traces


def test_a_band_holds_its_share_of_new_sessions():
    rng = np.random.default_rng(0)
    band = measure_band(draw(20, rng), coverage=0.9)
    assert band.half_width == pytest.approx(0.1645, rel=0.05)
    errors = [np.abs(t.label - t.prediction) for t in draw(200, rng)]
    held = np.mean(np.concatenate(errors) <= band.half_width)
    assert held == pytest.approx(0.9, abs=0.02)
    assert band.measured == pytest.approx(0.9, abs=0.02) and band.num_sessions == 20


def test_the_measured_share_is_that_of_sessions_left_out():
    """Where sessions differ a lot, a few of them promise too much."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found.append(measure_band(draw(4, rng, spread=1.0), coverage=0.9).measured)
    truth = []
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        band = measure_band(draw(3, rng, spread=1.0), coverage=0.9)
        errors = [np.abs(t.label - t.prediction) for t in draw(30, rng, spread=1.0)]
        truth.append(np.mean(np.concatenate(errors) <= band.half_width))
    assert np.mean(found) == pytest.approx(np.mean(truth), abs=0.05)
    assert np.mean(found) < 0.88


def test_a_long_session_counts_as_much_as_a_short_one():
    rng = np.random.default_rng(0)
    short, long = draw(9, rng), draw(1, rng, frames=100_000)
    long = [Trace(**{**vars(t), "session": "long", "label": t.label + 1}) for t in long]
    assert measure_band([*short, *long], coverage=0.8).half_width < 0.3


def test_bands_are_kept_with_the_model(tmp_path):
    traces = draw(5, np.random.default_rng(0))
    written = write_bands(tmp_path, traces)
    assert written.turn is None and read_bands(tmp_path) == written
    assert "held" in str(written.frame)
    write_bands(tmp_path, traces[:2])
    assert read_bands(tmp_path) == Bands()
    assert read_bands(tmp_path / "nowhere") == Bands()


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{", '{"frame": 3}', '{"frame": {"half_width": "wide"}}', '{"no": {}}'],
)
def test_bands_are_not_trusted(tmp_path, text):
    (tmp_path / "bands.json").write_text(text)
    with pytest.raises(WorkdirError, match="Delete the file, and evaluate again"):
        read_bands(tmp_path)
