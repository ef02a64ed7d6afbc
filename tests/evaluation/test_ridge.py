"""Ridge regression against a naive one that holds all frames in memory."""

import numpy as np
import pytest
from line_labels import line_labels

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.data.formats import ssi
from damamba_jax.evaluation import ridge
from damamba_jax.evaluation.ridge import fit_ridge
from damamba_jax.metrics.ccc import ccc
from damamba_jax.metrics.trace import align_frames
from damamba_jax.schema.statistics import FeatureStatistics

FACE = FeatureConfig(
    name="face", dim=4, group="visual", rate=25.0, stems=("face",), drop_columns=(0,),
    missing_value=-1.0,
)  # fmt: skip
VOICE = FeatureConfig(name="voice", dim=2, group="audio", rate=50.0, stems=("voice",))
FEATURES = (FACE, VOICE)
STATISTICS = {
    "face": FeatureStatistics(
        np.array([0, 0.5, 0, 0], np.float32), np.array([0, 1, 1, 2], np.float32)
    ),
    "voice": FeatureStatistics(
        np.array([1.0, 0.0], np.float32), np.array([1, 0.5], np.float32)
    ),
}
WEIGHTS = np.array([0.0, 0.05, -0.04, 0.0, 0.03, 0.0])
PARTNER_WEIGHTS = np.array([0.0, 0.0, 0.03, 0.0, 0.0, -0.02])


class Recording:
    """One drawn session on disk, with what a naive regression needs to know of it."""

    def __init__(self, folder, name, rng, *, noise, frames=100, roles=("a", "b", "c")):
        self.values = {
            role: {
                "face": rng.normal(size=(frames, 4)).astype(np.float32),
                "voice": rng.normal(1, 2, size=(2 * frames, 2)).astype(np.float32),
            }
            for role in roles
        }
        first = self.values[roles[0]]
        first["face"][10:20] = np.nan
        first["face"][30, 1] = 1e12
        first["voice"][80:90] = 0.0  # two columns: zeros are data
        if "c" in roles:
            self.values["b"]["face"][40:50] = -1.0
            del self.values["c"]["voice"]
        participants = []
        self.labels = {}
        for role in roles:
            inputs = self.inputs(role)
            label = 0.5 + inputs @ np.concatenate([WEIGHTS, PARTNER_WEIGHTS])
            label += noise * rng.normal(size=frames)
            label[60:75] = np.nan
            self.labels[role] = label
            tracks = {}
            for feature in FEATURES:
                if feature.name in self.values[role]:
                    tracks[feature.name] = self._track(folder, name, role, feature)
            path = folder / f"{name}.{role}.csv"
            ssi.write_labels(path, label)
            participants.append(
                Participant(
                    role=role,
                    tracks=tracks,
                    num_labels=frames,
                    label_source=line_labels(path),
                )
            )
        self.session = Session(
            corpus="noxi", split="noxi/train", id=name, duration=frames / 25,
            participants=tuple(participants), label_rate=25.0,
        )  # fmt: skip

    def _track(self, folder, name, role, feature):
        path = folder / f"{name}.{role}.{feature.name}.stream"
        values = self.values[role][feature.name]
        ssi.write_stream(path, values, feature.rate)
        return Track(
            feature=feature, path=path, rate=feature.rate, num_frames=len(values),
            header_rate=feature.rate,
        )  # fmt: skip

    def standardised(self, role, frame):
        """(values, which features are there) of one label frame, entry by entry."""
        values, there = [], []
        for feature in FEATURES:
            x = self.values[role].get(feature.name)
            x = np.zeros(feature.dim) if x is None else x[
                frame * int(feature.rate // 25)
            ].astype(np.float64)  # fmt: skip
            kept = [i for i in range(feature.dim) if i not in feature.drop_columns]
            bad = ~(abs(x) <= 1e8) | (x == feature.missing_value)
            is_there = bad[kept].sum() * 2 <= len(kept)
            is_there &= feature.name in self.values[role]
            s = STATISTICS[feature.name]
            z = np.where(bad | ~is_there, 0.0, (x - s.center) * s.inverse_scale)
            values.append(np.clip(np.nan_to_num(z), -10, 10))
            there.append(np.full(feature.dim, float(is_there)))
        return np.concatenate(values), np.concatenate(there)

    def inputs(self, role):
        frames = len(self.values[role]["face"])
        rows = []
        for frame in range(frames):
            own, _ = self.standardised(role, frame)
            others = [self.standardised(r, frame) for r in self.values if r != role]
            total = sum(v for v, _ in others)
            rows.append([*own, *(total / np.maximum(sum(t for _, t in others), 1))])
        return np.array(rows)

    def table(self):
        x = np.concatenate([self.inputs(role) for role in self.values])
        y = np.concatenate([self.labels[role] for role in self.values])
        return x[~np.isnan(y)], y[~np.isnan(y)]


def make_recordings(folder, *, sessions=5, noise=0.1, **options):
    rng = np.random.default_rng(0)
    return [
        Recording(folder, f"{i:03d}", rng, noise=noise, **options)
        for i in range(sessions)
    ]


def fit(recordings, **options):
    sessions = [recording.session for recording in recordings]
    return fit_ridge(sessions, FEATURES, STATISTICS, "", **options)


def naive_fit(tables):
    """Returns (weights, intercept, penalty) by fitting and predicting every fold."""

    def solve(tables, penalty):
        x, y = (np.concatenate(part) for part in zip(*tables, strict=True))
        centred = x - x.mean(axis=0)
        # Ridge as least squares with rows that pull each weight to 0.
        pull = np.sqrt(penalty * len(x)) * np.eye(x.shape[1])
        weights = np.linalg.lstsq(
            np.concatenate([centred, pull]),
            np.concatenate([y - y.mean(), np.zeros(x.shape[1])]),
            rcond=None,
        )[0]
        return weights, y.mean() - x.mean(axis=0) @ weights

    best = (-1.0,)
    for penalty in ridge.PENALTIES:
        predictions, labels = [], []
        for fold in range(3):
            seen = [t for i, t in enumerate(tables) if i % 3 != fold]
            weights, intercept = solve(seen, penalty)
            for x, y in tables[fold::3]:
                predictions.append(x @ weights + intercept)
                labels.append(y)
        p, y = np.concatenate(predictions), np.concatenate(labels)
        r = np.corrcoef(p, y)[0, 1]
        if r > best[0]:
            best = r, penalty, y.std() / p.std(), p.mean(), y.mean()
    _, penalty, scale, mean, label_mean = best
    weights, intercept = solve(tables, penalty)
    return scale * weights, label_mean + scale * (intercept - mean), penalty


def test_equals_a_regression_that_holds_all_frames(tmp_path):
    recordings = make_recordings(tmp_path)
    fitted = fit(recordings)
    weights, intercept, penalty = naive_fit([r.table() for r in recordings])
    assert fitted.penalty == penalty
    np.testing.assert_allclose(fitted.weights, weights, atol=1e-6)
    assert fitted.intercept == pytest.approx(intercept, abs=1e-6)
    recording = recordings[0]
    for participant in recording.session.participants:
        prediction = fitted.predict(recording.session, participant)
        np.testing.assert_allclose(
            prediction, recording.inputs(participant.role) @ weights + intercept,
            atol=1e-5,
        )  # fmt: skip


def test_memory_is_bounded_by_blocks_that_change_nothing(tmp_path, monkeypatch):
    recordings = make_recordings(tmp_path, sessions=3)
    whole = fit(recordings)
    monkeypatch.setattr(ridge, "BLOCK_VALUES", 7 * 12)
    blocks = fit(recordings)
    np.testing.assert_allclose(blocks.weights, whole.weights, atol=1e-9)
    session = recordings[0].session
    person = session.participants[0]
    np.testing.assert_allclose(
        blocks.predict(session, person), whole.predict(session, person), atol=1e-6
    )


def test_unseen_session_of_a_linear_world_is_predicted(tmp_path):
    *seen, unseen = make_recordings(tmp_path, sessions=4, noise=0.001)
    fitted = fit(seen)
    for participant in unseen.session.participants:
        prediction = fitted.predict(unseen.session, participant)
        label = unseen.labels[participant.role]
        frames = align_frames(label, prediction)
        assert ccc(*frames) > 0.999


def test_rescaling_brings_ccc_to_the_correlation(tmp_path):
    recordings = make_recordings(tmp_path, sessions=9, noise=0.15)
    fitted = fit(recordings[:6])
    pairs = [
        align_frames(
            r.labels[p.role], fitted.predict(r.session, p)
        )
        for r in recordings[6:]
        for p in r.session.participants
    ]  # fmt: skip
    label, prediction = (np.concatenate(part) for part in zip(*pairs, strict=True))
    r = np.corrcoef(label, prediction)[0, 1]
    assert 0.3 < r < 0.7
    assert ccc(label, prediction) == pytest.approx(r, abs=0.02)
    # Plain least squares has the r-fold spread: 2 r² / (1 + r²).
    shrunk = label.mean() + r * (prediction - prediction.mean())
    assert ccc(label, shrunk) == pytest.approx(2 * r**2 / (1 + r**2), abs=0.02)
    assert ccc(label, shrunk) < r - 0.05


def test_single_session_and_dyads(tmp_path):
    recordings = make_recordings(tmp_path, sessions=1, roles=("a", "b"), noise=0.01)
    fitted = fit(recordings)
    assert fitted.penalty == 1e-1
    session = recordings[0].session
    assert fitted.predict(session, session.participants[1]).shape == (100,)


def test_without_information_the_mean_label_is_predicted(tmp_path):
    recordings = make_recordings(tmp_path, sessions=3, noise=0.1)
    blind = {
        name: s._replace(inverse_scale=0 * s.center) for name, s in STATISTICS.items()
    }
    sessions = [r.session for r in recordings]
    fitted = fit_ridge(sessions, FEATURES, blind, "")
    prediction = fitted.predict(sessions[0], sessions[0].participants[0])
    labels = np.concatenate([r.table()[1] for r in recordings])
    np.testing.assert_allclose(prediction, labels.mean(), atol=1e-5)


def test_person_without_annotation_gets_a_prediction_per_label_frame(tmp_path):
    (recording,) = make_recordings(tmp_path, sessions=1)
    fitted = fit([recording])
    person = recording.session.participants[0]
    unlabelled = Participant(role="a", tracks=person.tracks)
    session = Session(
        corpus="noxi", split="noxi/test-base", id="9", participants=(unlabelled,),
        duration=3.98, label_rate=25.0,
    )  # fmt: skip
    prediction = fitted.predict(session, unlabelled)
    assert prediction.shape == (100,) and np.isfinite(prediction).all()


def test_frames_are_thinned_and_progress_is_told(tmp_path):
    recordings = make_recordings(tmp_path, sessions=3, noise=0.01)
    told = []
    fitted = fit(recordings, max_frames=200, progress=lambda *x: told.append(x))
    assert told == [(1, 3), (2, 3), (3, 3)]
    thinned = []
    for r in recordings:
        parts = []
        for role in r.values:
            rated = np.flatnonzero(~np.isnan(r.labels[role]))[::5]
            parts.append((r.inputs(role)[rated], r.labels[role][rated]))
        thinned.append(tuple(np.concatenate(p) for p in zip(*parts, strict=True)))
    # 3 sessions of 3 people with 100 frames: every fifth is at most 200.
    weights, _, _ = naive_fit(thinned)
    np.testing.assert_allclose(fitted.weights, weights, atol=1e-6)


def test_errors(tmp_path):
    recordings = make_recordings(tmp_path, sessions=1)
    sessions = [recordings[0].session]
    with pytest.raises(ValueError, match="expected an entry for 'voice'"):
        fit_ridge(sessions, FEATURES, {"face": STATISTICS["face"]}, "")
    with pytest.raises(ValueError, match="expected labelled frames to fit on, got 0"):
        fit_ridge([], FEATURES, STATISTICS, "")
