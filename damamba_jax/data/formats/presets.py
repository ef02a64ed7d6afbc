"""Columns of well-known programs, so that a configuration only names the program."""

import dataclasses

from damamba_jax.config.layout import TableConfig

PRESETS: dict[str, dict] = {
    # OpenFace 2, `FeatureExtraction`: 8 columns of gaze, 6 of the head, 17 intensities
    # and 18 presences of action units. The files also hold landmarks, which are read
    # if a configuration names their columns.
    "openface": {
        "columns": ("gaze_*", "pose_?x", "pose_?y", "pose_?z", "AU*_r", "AU*_c"),
        "time": "timestamp",
        "valid": ("success==1", "confidence>=0.7"),
    },
    # OpenPose, `--write_json`, which writes a file for each frame,
    # `NAME_{frame}_keypoints.json`: the 25 joints of the body.
    "openpose": {"columns": ("pose_*_x", "pose_*_y")},
    # OpenSMILE, `SMILExtract -lldcsvoutput`: low-level descriptors.
    "opensmile": {"columns": ("*_sma*",), "time": "frameTime"},
    # Py-Feat, `Detector.detect_video(...)` written as csv: 20 action units, 7 emotions
    # and the pose of the head.
    "pyfeat": {
        "columns": (
            "AU*", "anger", "disgust", "fear", "happiness", "sadness", "surprise",
            "neutral", "Pitch", "Roll", "Yaw",
        ),
        "time": "frame",
        "time_unit": "frames",
        "valid": ("FaceScore>=0.5",),
    },
    # MediaPipe's face landmarker: 51 blendshapes under their own names. The time is the
    # argument `timestamp_ms` of `detect_for_video`.
    "mediapipe": {
        "columns": ("brow*", "cheek*", "eye*", "jaw*", "mouth*", "nose*"),
        "time": "timestamp_ms",
        "time_unit": "ms",
    },
}  # fmt: skip


def with_preset(table: TableConfig) -> TableConfig:
    """Fills the fields that a configuration leaves empty with those of its preset."""
    known = dict(PRESETS.get(table.preset, {}))
    if table.time:
        # The unit in the preset belongs to the preset's own column of times.
        known.pop("time_unit", None)
    chosen = {
        name: value
        for name, value in known.items()
        if name == "time_unit" or not getattr(table, name)
    }
    return dataclasses.replace(table, **chosen)
