"""Files as the programs write them, read by the preset's name alone."""

import json

import numpy as np
import pytest

from damamba_jax.config.layout import TableConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.patterns import Match
from damamba_jax.data.corpus.table_source import TableSource
from damamba_jax.data.formats.presets import with_preset

UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
OPENFACE = (
    "frame, face_id, timestamp, confidence, success",
    *(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"),
    *(f"gaze_angle_{axis}" for axis in "xy"),
    *(f"eye_lmk_x_{i}" for i in range(3)),
    *(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
    *(f"x_{i}" for i in range(3)),
    *(f"AU{unit:02d}_r" for unit in UNITS),
    *(f"AU{unit:02d}_c" for unit in (*UNITS[:-1], 28, 45)),
)
PYFEAT = (
    "frame,FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,Pitch,Roll,Yaw",
    *(f"AU{i:02d}" for i in range(1, 21)),
    "anger,disgust,fear,happiness,sadness,surprise,neutral,input,frame,approx_time",
)
LOUDNESS = "name;frameTime;Loudness_sma3;F0semitoneFrom27.5Hz_sma3nz;mfcc1_sma3"


def read(paths, *, dim, rate, preset, **table):
    feature = FeatureConfig(
        name="f", dim=dim, group="visual", rate=rate,
        table=TableConfig(preset=preset, **table),
    )  # fmt: skip
    source = TableSource(
        feature=feature,
        pieces=tuple(Match(path, fields) for path, fields in paths),
        fields={},
        turns={},
    )
    return source.open(None), source.summarize(None).columns


def test_openface(tmp_path):
    header = ", ".join(OPENFACE)
    count = header.count(",") - 4
    rows = [(i + 1, 0, f"{i / 30:.3f}", 0.98, int(i != 4)) for i in range(20)]
    rows[6] = (7, 0, rows[6][2], 0.3, 1)
    text = [header, *(", ".join(map(str, (*row, *[0.5] * count))) for row in rows)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(text) + "\n")
    stream, columns = read([(path, {})], dim=49, rate=30.0, preset="openface")
    assert stream.sample_rate == 30.0 and stream.data.shape == (20, 49)
    assert np.flatnonzero(~stream.valid).tolist() == [4, 6]
    assert columns[:2] == ("gaze_0_x", "gaze_0_y") and columns[8:11] == (
        "pose_Tx", "pose_Rx", "pose_Ty",
    )  # fmt: skip
    stream, _ = read(
        [(path, {})], dim=3, rate=30.0, preset="openface", columns=("x_?",), valid=()
    )
    assert stream.data.shape == (20, 3)


def test_pyfeat(tmp_path):
    header = ",".join(PYFEAT)
    rows = [
        ",".join(map(str, [i, 1, 2, 3, 4, score, *[0.1] * 30, "v.mp4", i, "00:00"]))
        for i, score in ((0, 0.9), (0, 0.8), (1, ""), (3, 0.99))
    ]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    stream, columns = read([(path, {})], dim=30, rate=10.0, preset="pyfeat")
    assert stream.valid.tolist() == [True, False, False, True]
    assert columns[0] == "AU01" and columns[-1] == "Yaw"


def test_opensmile(tmp_path):
    rows = [f"'unknown';{i / 100:.6f};0.5;{i};-3.25" for i in range(30)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([LOUDNESS, *rows]) + "\n")
    stream, columns = read([(path, {})], dim=3, rate=100.0, preset="opensmile")
    assert stream.valid is None and stream.sample_rate == 100.0
    np.testing.assert_array_equal(stream.data[:, 1], np.arange(30))
    assert columns == tuple(LOUDNESS.split(";")[2:])


def test_mediapipe(tmp_path):
    path = tmp_path / "a.csv"
    names = "browDownLeft,cheekPuff,eyeBlinkLeft,jawOpen,mouthSmileLeft,noseSneerLeft"
    lines = [f"{40 * i},0.0,{i / 8},1,2,3,4,5" for i in range(12)]
    path.write_text("\n".join([f"timestamp_ms,_neutral,{names}", *lines]) + "\n")
    stream, columns = read([(path, {})], dim=6, rate=25.0, preset="mediapipe")
    assert ",".join(columns) == names and stream.sample_rate == 25.0
    assert stream.data[3].tolist() == [0.375, 1, 2, 3, 4, 5]


def test_openpose(tmp_path):
    pieces = []
    for frame in range(4):
        points = np.arange(75.0).reshape(25, 3)
        points[3] = 0
        people = [{"pose_keypoints_2d": points.ravel().tolist()}] * (frame != 2)
        path = tmp_path / f"a_{frame:012d}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": people}))
        pieces.append((path, {"frame": f"{frame:012d}"}))
    stream, columns = read(pieces, dim=50, rate=25.0, preset="openpose")
    assert stream.valid.tolist() == [True, True, False, True]
    assert columns[:2] == ("pose_0_x", "pose_1_x")
    expected = np.arange(0.0, 75, 3)
    expected[3] = np.nan
    np.testing.assert_array_equal(stream.data[0, :25], expected)


@pytest.mark.parametrize("preset", ["openface", "pyfeat"])
def test_what_the_configuration_says_counts(preset):
    table = with_preset(TableConfig(preset=preset, time="t", columns=("x",)))
    assert (table.time, table.time_unit, table.columns) == ("t", "s", ("x",))
    assert table.valid
