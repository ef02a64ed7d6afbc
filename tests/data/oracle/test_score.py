"""The oracle's scores: more to see is better, and nothing passes it."""

import dataclasses
import shutil
from fractions import Fraction

import numpy as np
import pytest
from example import PAPER

from damamba_jax.data.oracle import score as oracle_score
from damamba_jax.data.oracle import smoother
from damamba_jax.data.oracle import table as oracle_table
from damamba_jax.data.oracle import views as oracle_views
from damamba_jax.data.oracle.views import View
from damamba_jax.data.simulated import write as simulated_write
from damamba_jax.data.simulated.dialogue import LABEL_MEAN, LABEL_SCALE
from damamba_jax.data.simulated.presets import DOMAINS, Preset, SplitPreset
from damamba_jax.errors import DataFormatError

# Nothing here depends on the versions of Python and JAX.
pytestmark = pytest.mark.slow

NATIVE = dataclasses.replace(PAPER.data.window, frame_hz=25.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    spec = Preset(
        dims={"egemaps": 4},
        splits=(
            SplitPreset(name="noxi/train", sessions=20, seconds=60.0),
            SplitPreset(name="noxi/test-base", sessions=16, seconds=60.0),
            SplitPreset(
                name="mpiigroupinteraction/val",
                sessions=3,
                seconds=20.0,
                domain="groups",
            ),
        ),
    )
    simulated_write.write_corpus(folder, spec, seed=3)
    return folder


@pytest.fixture(scope="module")
def table(root):
    return oracle_table.build_table(root)


def scores(table, span, split="noxi/test-base"):
    (found,) = [s for s in table["spans"][span]["splits"] if s["name"] == split]
    return {name: values["r"] for name, values in found["scores"].items()}


def test_more_to_see_is_better(table):
    for span in range(3):
        r = scores(table, span)
        assert max(r["audio"], r["visual"]) < r["both"] - 0.02
        for name in ("both", "audio", "visual"):
            assert r[f"{name}, target only"] < r[name] - 0.01
        assert r["both, causal"] < r["both"] - 0.005
        assert r["per-frame linear"] < r["both, target only"] - 0.05
    short, long, whole = (scores(table, span) for span in range(3))
    assert short["both"] < long["both"] < whole["both"]


def test_scores_lie_where_the_parameters_put_them(table):
    # Measured on 120 conversations of 200 s; 16 of 60 s scatter by about 0.04.
    expected = [
        {"both": 0.86, "both, target only": 0.79, "per-frame linear": 0.60},
        {"both": 0.88, "both, target only": 0.82, "per-frame linear": 0.60},
        {"both": 0.90, "both, target only": 0.86, "per-frame linear": 0.60},
    ]
    for span, values in enumerate(expected):
        r = scores(table, span)
        for name, value in values.items():
            assert r[name] == pytest.approx(value, abs=0.12), (span, name)


def test_table_is_complete(root, table, tmp_path):
    assert [span["window_seconds"] for span in table["spans"]] == [0.96, 3.84, None]
    for span in table["spans"]:
        names = [split["name"] for split in span["splits"]]
        assert names == ["noxi/test-base", "mpiigroupinteraction/val"]
        assert [split["transfer"] for split in span["splits"]] == [False, True]
        for split in span["splits"]:
            assert set(split["scores"]) == {
                *oracle_table.VIEWS,
                "per-frame linear",
                "late fusion",
                "late fusion, target only",
            }
            late = split["scores"]["late fusion"]["r"]
            assert split["modality_gap"] == pytest.approx(
                split["scores"]["both"]["r"] - late
            )
            # Worse than fusion, better than either group.
            if not split["transfer"]:
                single = (split["scores"][group]["r"] for group in ("audio", "visual"))
                assert max(single) < late < split["scores"]["both"]["r"]
            for values in split["scores"].values():
                assert all(np.isfinite(v) for v in values.values())
            both = split["scores"]["both"]
            gap = both["r"] - split["scores"]["both, target only"]["r"]
            assert split["partner_gap"] == pytest.approx(gap)
    text = oracle_table.to_markdown(table)
    assert "noxi/test-base" in text and "(transfer)" in text
    assert text.count("| both |") == 3


def test_predicted_gaps_are_those_of_the_table(root, table):
    gaps = oracle_table.predict_gaps(root, "noxi/test-base", window=NATIVE)
    r, (split, _) = scores(table, 1), table["spans"][1]["splits"]
    assert gaps.best == pytest.approx(r["both"], abs=1e-9)
    assert gaps.partner == pytest.approx(split["partner_gap"], abs=1e-9)
    assert gaps.modality == pytest.approx(split["modality_gap"], abs=1e-9)
    alone = r["both"] - r["late fusion, target only"]
    assert gaps.joint == pytest.approx(alone, abs=1e-9)
    # Without both parts more is lost than without either.
    assert gaps.joint > max(gaps.partner, gaps.modality) + 0.01
    assert gaps.num_frames == split["num_frames"]


def test_gaps_need_recordings_to_fit_on(tmp_path):
    splits = (SplitPreset(name="noxi/val", sessions=1, seconds=4.0),)
    preset = Preset(dims={"egemaps": 4}, splits=splits)
    simulated_write.write_corpus(tmp_path / "corpus", preset)
    with pytest.raises(ValueError, match="expected a corpus with a training split"):
        oracle_table.predict_gaps(tmp_path / "corpus", "noxi/val", window=NATIVE)


def test_table_agrees_with_single_scores(root, table):
    for span, window in enumerate([PAPER.data.window, NATIVE, None]):
        for name, view in oracle_table.VIEWS.items():
            if span == 2 and name not in ("both", "both, causal"):
                continue
            single = oracle_score.oracle_ccc(
                root,
                "noxi/test-base",
                window=window,
                groups=view.groups,
                partners=view.partners,
                causal=view.causal,
            )
            (split, _) = table["spans"][span]["splits"]
            entry = split["scores"][name]
            assert single.r == pytest.approx(entry["r"], abs=1e-9)
            assert single.ccc == pytest.approx(entry["ccc"], abs=1e-9)
            assert single.bare_ccc == pytest.approx(entry["bare_ccc"], abs=1e-9)
            assert single.num_frames == split["num_frames"]


def test_rescaling_gains_what_theory_says(root):
    score = oracle_score.oracle_ccc(root, "noxi/train", window=NATIVE)
    # Fitted on (some of) the very same recordings, the best CCC is r itself.
    assert score.ccc == pytest.approx(score.r, abs=0.02)
    assert score.bare_ccc == pytest.approx(2 * score.r**2 / (1 + score.r**2), abs=0.04)
    assert score.bare_ccc < score.ccc


def test_no_regression_on_windows_passes_the_oracle(root):
    # Least squares on what a window shows, speech-gated, of both people.
    train, test = (
        oracle_views.load_cues(root, split)
        for split in ("noxi/train", "noxi/test-base")
    )

    def inputs(recordings):
        rows, labels = [], []
        for cues in recordings:
            cut = oracle_views.cut_windows(NATIVE, cues.label.shape[1])
            speech = cues.speaking[:, None] * np.ones((1, 3, 1))
            parts = []
            for gate in (cues.observed * speech, cues.observed * (1 - speech)):
                weight = gate[..., cut.frames] * cut.inside
                total = (cues.cues[..., cut.frames] * weight).sum(axis=-1)
                parts += [total / (2 + weight.sum(-1)), weight.mean(-1)]
            own = np.concatenate(parts, axis=1)[..., cut.window].transpose(0, 2, 1)
            both = np.concatenate([own, own[::-1]], axis=2)
            valid = np.isfinite(cues.label)
            rows.append(both[valid])
            labels.append(cues.label[valid])
        x = np.concatenate(rows)
        return np.c_[x, np.ones(len(x))], np.concatenate(labels)

    x, y = inputs(train)
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ y)
    x, y = inputs(test)
    reached = np.corrcoef(x @ weights, y)[0, 1]
    bound = oracle_score.oracle_ccc(root, "noxi/test-base", window=NATIVE).r
    assert 0.6 * bound < reached < bound - 0.01


@pytest.mark.parametrize(
    ("hz", "past", "core", "future"),
    [
        (100.0, 32, 32, 32), (25.0, 32, 32, 32), (30.0, 7, 6, 7), (12.5, 0, 8, 0),
        (25.0, 1000, 2000, 1000), (100.0, 50, 32, 14), (100.0, 64, 32, 0),
        (30.0, 7, 6, 0),
    ],
)  # fmt: skip
def test_windows_are_cut_exactly(hz, past, core, future):
    window = dataclasses.replace(
        PAPER.data.window,
        frame_hz=hz,
        past_frames=past,
        core_frames=core,
        future_frames=future,
    )
    frames = 237
    cut = oracle_views.cut_windows(window, frames)
    hz = Fraction(window.frame_hz)
    for t in range(frames):
        # The core is the one whose time span holds the label.
        core = (t * hz / 25) // window.core_frames
        start = core * window.core_frames - window.past_frames
        assert cut.window[t] == core
        assert cut.frames[core, cut.offset[t]] == t
        last = start + window.window_frames - 1
        touched = {
            frame
            for position in (start, last)
            for frame in (
                (position * 25 / hz).__floor__(),
                (position * 25 / hz).__ceil__(),
            )
        }
        stop = frames
        if window.future_frames == 0 < window.past_frames:
            end = (core + 1) * window.core_frames * 25 / hz
            stop = min(frames, end.__ceil__())
        seen = [i for i in range(min(touched), max(touched) + 1) if 0 <= i < stop]
        np.testing.assert_array_equal(cut.frames[core][cut.inside[core]], seen)


def test_a_window_sees_itself_only(root):
    (cues, *_) = oracle_views.load_cues(root, "noxi/test-base")
    ((estimate,),) = oracle_views.estimates([cues], [View()], window=NATIVE)
    # Core 5 spans frames 160 .. 191; its window is 128 .. 223.
    here = slice(128, 224)
    alone = smoother.smooth(
        cues.cues[None, ..., here],
        cues.observed[None, ..., here],
        cues.speaking[None, :, here],
        DOMAINS["base"],
    ).smoothed[0]
    np.testing.assert_allclose(
        estimate[:, 160:192], LABEL_MEAN + LABEL_SCALE * alone[:, 32:64], atol=1e-12
    )


@pytest.mark.parametrize(("past", "future"), [(90, 0), (20, 45)])
def test_the_value_of_an_unequal_window_is_that_of_its_slices(root, past, future):
    window = dataclasses.replace(
        NATIVE, past_frames=past, core_frames=150, future_frames=future
    )
    guesses, labels = [], []
    for cues in oracle_views.load_cues(root, "mpiigroupinteraction/val"):
        frames = cues.label.shape[1]
        for core in range(0, frames, 150):
            first, last = max(0, core - past), min(frames, core + 150 + future)
            alone = smoother.smooth(
                cues.cues[None, ..., first:last],
                cues.observed[None, ..., first:last],
                cues.speaking[None, :, first:last],
                DOMAINS["base"],
            ).smoothed[0]
            guesses.append(alone[:, core - first : core - first + 150].ravel())
            labels.append(cues.label[:, core : core + 150].ravel())
    guess, label = np.concatenate(guesses), np.concatenate(labels)
    rated = np.isfinite(label)
    found = oracle_score.oracle_ccc(root, "mpiigroupinteraction/val", window=window)
    assert found.num_frames == rated.sum()
    expected = np.corrcoef(guess[rated], label[rated])[0, 1]
    assert found.r == pytest.approx(expected, abs=1e-9)


def test_one_window_over_everything_is_the_whole_recording(root):
    wide = dataclasses.replace(
        PAPER.data.window,
        frame_hz=25.0,
        past_frames=2000,
        core_frames=2000,
        future_frames=2000,
    )
    a = oracle_score.oracle_ccc(root, "noxi/test-base", window=wide)
    b = oracle_score.oracle_ccc(root, "noxi/test-base")
    assert a.r == pytest.approx(b.r, abs=1e-9)
    assert a.num_frames == b.num_frames


def test_errors_say_what_is_known(root, tmp_path):
    with pytest.raises(ValueError, match="expected one of noxi/train, noxi/test-base"):
        oracle_score.oracle_ccc(root, "noxi/test")
    with pytest.raises(ValueError, match="Only simulated corpora have an oracle"):
        oracle_score.oracle_ccc(tmp_path, "noxi/val")
    with pytest.raises(ValueError, match="`groups`: expected some of audio, visual"):
        oracle_score.oracle_ccc(root, "noxi/test-base", groups=("text",))
    with pytest.raises(ValueError, match="`groups`: expected some of audio, visual"):
        oracle_score.oracle_ccc(root, "noxi/test-base", groups=())


@pytest.mark.parametrize("damage", ["cut off", "encrypted", "empty"])
def test_damaged_cues_are_refused_by_name(root, tmp_path, damage):
    shutil.copytree(root / "oracle", tmp_path / "oracle")
    shutil.copy(root / "simulated.json", tmp_path)
    path = next(tmp_path.glob("oracle/noxi/train/*.npz"))
    raw = bytearray(path.read_bytes())
    if damage == "encrypted":
        raw[raw.rindex(b"PK\x01\x02") + 8] ^= 1
    path.write_bytes(raw[: {"cut off": len(raw) // 2, "empty": 0}.get(damage)])
    with pytest.raises(DataFormatError, match=rf"{path.name}: .*Delete the corpus"):
        oracle_views.load_cues(tmp_path, "noxi/train")
