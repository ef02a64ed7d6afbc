"""Makes feature streams of any width from a few cues.

A feature stream is `centre + spread * (map @ cues + noise)`. Map, centre and spread
depend only on the name and the width of the feature, so all sessions of a corpus, and
all corpora with features of that width, share them. The columns of the map are
orthogonal, so that least squares gives every cue back with an error of `LIFT_NOISE^2 *
num_cues / dim` of its variance, at most 2 % at the widths of the presets. The noise is
independent of everything else, so that features tell less than the cues. All features
of a group carry the same cues.
"""

import functools
import zlib
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Bool, Float
from damamba_jax.data.simulated.dialogue import FRAME_HZ, Recording

LIFT_NOISE = 0.15

# The first columns of an OpenFace 2 row do not measure the face: frame number, face id,
# time stamp, confidence, success.
_OPENFACE_HEAD = 5

# The standard deviations of the cues, over speech and silence together. Each cue is
# divided by its own, so that all cues are equally large.
_AUDIO_SCALE, _MOUTH_SCALE, _VISUAL_SCALE = 1.7, 2.2, 2.6
_INDICATOR_NOISE = 0.1

GROUPS = {
    "egemaps": "audio",
    "w2vbert2": "audio",
    "clip": "visual",
    "openface2": "visual",
    "openpose": "visual",
}
STEMS = {
    "egemaps": "audio.egemapsv2",
    "w2vbert2": "audio.w2vbert2_embeddings",
    "clip": "clip",
    "openface2": "openface2",
    "openpose": "openpose",
}
# The powers of ten between which the spread of a column lies, and the largest distance
# of its centre from 0 in units of the spread. EGeMAPS mixes Hz, dB and ratios, and
# OpenFace mixes degrees and pixels.
_RANGES = {
    "egemaps": (-2.0, 4.0, 3.0),
    "w2vbert2": (-0.7, -0.2, 2.0),
    "clip": (-1.0, -0.3, 2.0),
    "openface2": (-1.0, 2.0, 3.0),
    "openpose": (-1.3, -1.0, 0.5),
}


class Lift(NamedTuple):
    """The fixed map of one feature; see the formula at the top of this module."""

    mapping: Float[np.ndarray, "cues columns"]
    centre: Float[np.ndarray, "columns"]
    spread: Float[np.ndarray, "columns"]


def group_cues(
    recording: Recording, person: int, group: str, rng: np.random.Generator
) -> Float[np.ndarray, "T cues"]:
    """Returns the cues that the features of one group are made of.

    In addition to the cues of `dialogue.py`, the audio group has voice activity and the
    visual group has lip motion, which show clearly who speaks. Both groups have the
    fast process, which lets a model align the groups frame by frame.
    """
    speaking = 2.0 * recording.speaking[person] - 1.0
    indicator = speaking + _INDICATOR_NOISE * rng.standard_normal(speaking.shape)
    if group == "audio":
        columns = [
            recording.audio[person] / _AUDIO_SCALE,
            recording.mouth[person] / _MOUTH_SCALE,
        ]
    else:
        columns = [recording.visual[person] / _VISUAL_SCALE]
    columns += [indicator, recording.fast[person]]
    return np.stack(columns, axis=1).astype(np.float32)


def lift(
    name: str,
    dim: int,
    cues: Float[np.ndarray, "T cues"],
    valid: Bool[np.ndarray, "T"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "T dim"]:
    """Writes cues into the columns of one feature.

    Frames that are not `valid` hold the values that the feature's extractor writes if
    it fails: NaN (eGeMAPS, and CLIP without a face), a row of zeros (w2v-BERT, and
    OpenFace with success 0) or -1 (OpenPose). OpenPose sometimes fails when the other
    extractors do not.

    Raises:
      ValueError: if `dim` is so small that no column is left for the cues.
    """
    head = _OPENFACE_HEAD if name == "openface2" else 0
    if dim <= head:
        raise ValueError(
            f"`dims[{name!r}]`: expected more than {head} columns, got {dim}."
        )
    mapping, centre, spread = draw_lift(name, dim - head, cues.shape[1])
    values = rng.standard_normal((len(cues), dim - head), np.float32)
    values *= np.float32(LIFT_NOISE)
    values += cues @ mapping
    values *= spread
    values += centre
    if name in ("egemaps", "clip"):
        values[~valid] = np.nan
    elif name == "openpose":
        values[~(valid & ~_pose_lost(len(valid), rng))] = -1.0
    else:
        values[~valid] = 0.0
    if not head:
        return values
    frames = np.arange(len(valid))
    confidence = np.clip(0.95 + 0.02 * rng.standard_normal(len(valid)), 0, 1)
    columns = [frames + 1, 0 * frames, frames / FRAME_HZ, confidence * valid, valid]
    return np.concatenate([np.stack(columns, 1).astype(np.float32), values], axis=1)


@functools.cache
def draw_lift(name: str, columns: int, num_cues: int) -> Lift:
    """Draws the fixed map of a feature from its name and width."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), columns])
    low, high, reach = _RANGES[name]
    spread = 10.0 ** rng.uniform(low, high, columns)
    centre = spread * rng.uniform(-reach, reach, columns)
    mapping = rng.standard_normal((columns, num_cues))
    if columns >= num_cues:
        mapping = np.linalg.qr(mapping)[0]
    else:
        mapping /= np.sqrt(columns)
    mapping *= np.sqrt(columns / num_cues)
    return Lift(
        mapping.T.astype(np.float32, order="C"),
        centre.astype(np.float32),
        spread.astype(np.float32),
    )


def _pose_lost(frames: int, rng: np.random.Generator) -> np.ndarray:
    lost = np.zeros(frames, bool)
    for _ in range(rng.poisson(frames / FRAME_HZ / 60)):
        start = int(rng.integers(frames))
        lost[start : start + 1 + int(rng.exponential(0.5 * FRAME_HZ))] = True
    return lost
