"""Classical regressions on means and spreads of turns and frames."""

import dataclasses

import numpy as np
import pytest
from forms import FACE, LABELS, VOICE, layout, streams, values

from damamba_jax.config.window import WindowConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.evaluation import classical


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    features, places = streams(root)
    found = corpus_index.index(
        root,
        features=features,
        layout=layout(**places | LABELS["turn_csv"](root)),
        scale=Scale(unit="turn"),
    )
    return found.sessions


SECOND = WindowConfig(
    frame_hz=20.0, past_frames=5, core_frames=10, future_frames=5, stride_frames=10
)


def read(session, seat=0, window=SECOND):
    return classical.read_rows(
        session, seat, (VOICE, FACE), window=window, cache_dir=""
    )


def test_a_turn_is_described_by_means_and_spreads(sessions):
    rows = read(sessions[0])
    role, other = (p.role for p in sessions[0].participants)
    assert rows.inputs.shape == (16, 2 * (3 + 2) + 3 + 2)
    voice = values("monday", role, "voice")[25:50]  # the second half second
    partner = values("monday", other, "voice")[25:50]
    np.testing.assert_allclose(rows.inputs[1, :3], voice.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(rows.inputs[1, 3:6], voice.std(axis=0), rtol=1e-6)
    np.testing.assert_allclose(rows.inputs[1, 10:13], partner.mean(axis=0), rtol=1e-6)
    turns = sessions[0].turns(0)
    labels = sessions[0].participants[0].labels()
    np.testing.assert_allclose(rows.label, labels[turns.first])


def test_frames_are_described_by_what_is_around_them(sessions):
    frames = dataclasses.replace(sessions[0], label_unit="frame")
    rows = read(frames)
    assert len(rows.first) == 16  # two rows a second
    role = frames.participants[0].role
    voice = values("monday", role, "voice")[25:75]  # half a second on both sides of 1 s
    np.testing.assert_allclose(rows.inputs[2, :3], voice.mean(axis=0), rtol=1e-6)
    past = dataclasses.replace(SECOND, past_frames=10, future_frames=0)
    rows = read(frames, window=past)
    voice = values("monday", role, "voice")[13:63]  # 0.25 s to 1.25 s
    np.testing.assert_allclose(rows.inputs[2, :3], voice.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("kind", classical.KINDS)
@pytest.mark.parametrize("unit", ["turn", "frame"])
def test_what_can_be_learned_is_learned(kind, unit, sessions):
    rng = np.random.default_rng(0)
    one = dataclasses.replace(sessions[0], label_unit=unit)
    mine = read(one)
    people = []
    for _ in range(8):
        inputs = rng.normal(size=(60, 4))
        inputs[rng.random(inputs.shape) < 0.05] = np.nan
        label = 0.5 + 0.1 * np.nan_to_num(inputs[:, 0]) + 0.02 * rng.normal(size=60)
        label[::7] = np.nan
        where = np.arange(60)
        people.append(
            classical.Rows(inputs=inputs, label=label, first=where, last=where)
        )
    model = classical.fit(kind, people[:6], range(6), seed=0)
    truth = np.concatenate([p.label for p in people[6:]])
    found = np.concatenate([model.predict(p.inputs) for p in people[6:]])
    rated = np.isfinite(truth)
    assert np.corrcoef(truth[rated], found[rated])[0, 1] > 0.85
    assert found.std() == pytest.approx(np.nanstd(truth), rel=0.3)
    given = dataclasses.replace(mine, inputs=rng.normal(size=(len(mine.first), 4)))
    trace = classical.predict(model, given, one, 0)
    assert len(trace.prediction) == len(trace.label) == 80
    expected = model.predict(given.inputs)
    np.testing.assert_allclose(trace.prediction[given.first], expected)
    assert (trace.turns is None) == (unit == "frame")


def test_noise_is_answered_by_the_mean(sessions):
    rng = np.random.default_rng(1)
    where = np.arange(40)
    people = [
        classical.Rows(
            inputs=rng.normal(size=(40, 2)), label=np.full(40, 0.25 + 0.5 * (i % 2)),
            first=where, last=where,
        )
        for i in range(2)
    ]  # fmt: skip
    model = classical.fit("ridge", people, range(2), seed=0)
    np.testing.assert_allclose(model.predict(rng.normal(size=(5, 2))), 0.5)
    unrated = [dataclasses.replace(p, label=np.full(40, np.nan)) for p in people]
    with pytest.raises(ValueError, match="expected a rated row"):
        classical.fit("ridge", unrated, range(2), seed=0)
