"""The written corpus: layout, size, determinism, and that the loader reads it."""

import dataclasses
import json

import numpy as np
import pytest

from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.formats import ssi
from damamba_jax.data.simulated import dialogue
from damamba_jax.data.simulated import write as simulated_write
from damamba_jax.data.simulated.presets import (
    DOMAINS,
    PRESETS,
    Preset,
    SplitPreset,
    get_preset,
)
from damamba_jax.schema.release import DEMO_DIMS, REAL_DIMS, RELEASED_FEATURES

SMALL = Preset(
    dims=DEMO_DIMS,
    splits=(
        SplitPreset(name="noxi/train", sessions=1, seconds=4.0),
        SplitPreset(
            name="noxi/test-additional", sessions=2, seconds=4.0, domain="additional"
        ),
        SplitPreset(
            name="mpiigroupinteraction/val", sessions=3, seconds=4.0, domain="groups"
        ),
    ),
)


def features(dims):
    return [
        dataclasses.replace(RELEASED_FEATURES[name], dim=dim)
        for name, dim in dims.items()
    ]


def content(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    simulated_write.write_corpus(root, SMALL)
    return root


def test_the_loader_reads_it(small):
    found = corpus_index.index(small, features=features(DEMO_DIMS))
    assert found.simulated and not found.problems
    by_split = {split.name: found.split(split.name) for split in SMALL.splits}
    assert [len(sessions) for sessions in by_split.values()] == [1, 2, 3]
    assert [s.language for s in by_split["noxi/test-additional"]] == [
        "Arabic",
        "Italian",
    ]
    groups = by_split["mpiigroupinteraction/val"]
    assert [len(session.participants) for session in groups] == [4, 4, 3]
    assert groups[2].participants[0].role == "subjectPos2"
    for session in found.sessions:
        assert session.label_rate == 25.0
        for participant in session.participants:
            assert set(participant.tracks) == set(DEMO_DIMS)
            assert participant.labels().shape == (100,)
            for name, track in participant.tracks.items():
                assert (track.rate, track.num_frames) == (25.0, 100)
                assert track.open(None).dim == DEMO_DIMS[name]


def test_the_same_seed_gives_the_same_bytes(small, tmp_path):
    simulated_write.write_corpus(tmp_path / "again", SMALL)
    simulated_write.write_corpus(tmp_path / "other", SMALL, seed=1)
    first, again, other = (
        content(root) for root in (small, tmp_path / "again", tmp_path / "other")
    )
    assert first == again
    assert first.keys() == other.keys()
    same = [name for name in first if first[name] == other[name]]
    assert all(
        name.endswith((".stream", "language.annotation.csv")) for name in same
    ), same


def test_annotation_is_engagement_within_bounds(small):
    path = small / "noxi/train/001/expert.engagement.annotation.csv"
    label = ssi.read_labels(path)
    with np.load(small / "oracle/noxi/train/001.npz", allow_pickle=False) as stored:
        assert stored["roles"].tolist() == ["expert", "novice"]
        np.testing.assert_allclose(stored["label"][0], label, atol=1e-6)
    assert ((label >= 0) & (label <= 1) | np.isnan(label)).all()


def test_features_follow_the_cues_of_their_own_person(small):
    # A least-squares fit on the expert of one session finds the audio cue of the novice
    # of another: the map is fixed, and rows, roles and sessions are not mixed up.
    def pair(split, session, role, index):
        path = small / split / session / f"{role}.audio.w2vbert2_embeddings.stream"
        values = np.asarray(ssi.read_stream(path).data, np.float64)
        with np.load(small / "oracle" / split / f"{session}.npz") as stored:
            return np.c_[values, np.ones(len(values))], stored["cues"][index, 0]

    x, cue = pair("noxi/train", "001", "expert", 0)
    weights = np.linalg.lstsq(x, cue, rcond=None)[0]
    for role, index in (("expert", 0), ("novice", 1)):
        x, cue = pair("noxi/test-additional", "003", role, index)
        seen = (x[:, :-1] != 0).any(axis=1)
        assert np.corrcoef(x[seen] @ weights, cue[seen])[0, 1] > 0.97


def test_the_marker_describes_the_corpus(small):
    stored = json.loads((small / "simulated.json").read_text())
    assert stored["simulated"] is True
    assert stored["dims"] == DEMO_DIMS
    assert [split["name"] for split in stored["splits"]] == [
        split.name for split in SMALL.splits
    ]
    assert stored["domains"]["base"]["noise"] == 2.0


def test_shifted_domains_differ_from_the_base():
    assert len({domain for domain in DOMAINS.values()}) == len(DOMAINS) == 3
    rng = np.random.default_rng(0)
    gains = {}
    for name, domain in DOMAINS.items():
        drawn = [
            dialogue.draw_recording(domain, people=2, frames=1000, rng=rng)
            for _ in range(60)
        ]
        engagement = np.stack([r.engagement for r in drawn])
        visual = np.stack([r.visual for r in drawn])
        gains[name] = visual.mean()
        assert engagement.var() == pytest.approx(1.0, abs=0.3)
    assert abs(gains["groups"] - gains["base"]) > 0.25


def test_ensure_corpus_writes_once(tmp_path):
    root = simulated_write.ensure_corpus("tiny", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert simulated_write.ensure_corpus("tiny", tmp_path) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    other = simulated_write.ensure_corpus("tiny", tmp_path, seed=1)
    assert other != root
    assert {path.name for path in tmp_path.iterdir()} == {root.name, other.name}


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    def interrupt(step):
        assert step.total == 5
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulated_write.ensure_corpus("tiny", tmp_path, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_end_with_one_corpus(tmp_path):
    # The second writer finishes while the first is still at work.
    done = []

    def overtake(step):
        if not done:
            done.append(True)
            done.append(simulated_write.ensure_corpus("tiny", tmp_path))

    assert simulated_write.ensure_corpus("tiny", tmp_path, progress=overtake) == done[1]
    assert [path.name for path in tmp_path.iterdir()] == [done[1].name]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_their_promises(name):
    preset = PRESETS[name]
    limits = {
        "tiny": 5e6, "demo": 150e6 / 1.19, "noxi": 1.5e9, "ablation-noxi": 9e9,
    }  # fmt: skip
    assert preset.num_bytes < limits.get(name, 1.2e9)
    names = [split.name for split in preset.splits]
    assert "noxi/train" in names and "noxi/val" in names
    if name in ("noxi", "mpiigi", "ablation-noxi"):
        assert preset.dims == REAL_DIMS
    assert ("mpiigroupinteraction/val" in names) == name.startswith("mpiigi")
    if name.startswith("ablation"):
        (test,) = [s for s in preset.splits if s.name == "noxi/test-base"]
        assert test.sessions >= 10 and test.seconds >= 600
        assert "mpiigroupinteraction/test" in names


def test_streams_are_most_of_what_is_written(tmp_path):
    simulated_write.write_corpus(tmp_path, "tiny")
    written = sum(len(data) for data in content(tmp_path).values())
    promised = PRESETS["tiny"].num_bytes
    # Labels and cues: what the size of the demo preset above leaves room for.
    assert promised < written < 1.19 * promised + 20_000


def test_bad_arguments_say_what_to_do(small, tmp_path):
    with pytest.raises(ValueError, match="unknown preset 'deno'; did you mean 'demo'"):
        get_preset("deno")
    with pytest.raises(ValueError, match="`out`: expected a new or empty folder"):
        simulated_write.write_corpus(small, "tiny")
    with pytest.raises(ValueError, match="`domain`: expected one of base"):
        SplitPreset(name="noxi/val", sessions=1, seconds=5.0, domain="other")
    with pytest.raises(ValueError, match="at least one session of 2 s"):
        SplitPreset(name="noxi/val", sessions=0, seconds=5.0)
    assert not list(tmp_path.iterdir())
