"""Odd values are named, with session, person and file; usual ones are not."""

import dataclasses
import re

import numpy as np
import pytest
from forms import FACE, VOICE, layout, lines, people, streams

from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.formats import ssi
from damamba_jax.data.oddities import find_oddities


def odd(root, *, scale=None, features=(VOICE, FACE)):
    places = {
        "feature_path": "{session}/{role}.{stem}.stream",
        "label_path": "{session}/{role}.engagement.csv",
    }
    found = corpus_index.index(
        root, features=features, layout=layout(**places), scale=scale
    )
    return find_oddities(found.sessions, None)


@pytest.fixture
def root(tmp_path):
    streams(tmp_path)
    lines(tmp_path)
    return tmp_path


def test_usual_values_are_not_odd(root):
    assert odd(root) == []


LABELS = {
    "sentinel -1": (lambda v: np.where(np.arange(80) % 9, v, -1), "9 labels are -1,"),
    "sentinel -999": (lambda v: np.where(np.arange(80) % 9, v, -999), "are -999,"),
    "another scale": (lambda v: 1 + 4 * v, "% of the labels lie outside of .*scale"),
    "some outside": (
        lambda v: np.where(np.arange(80) < 20, 1.5, v), "25% of the labels lie outside",
    ),
    "constant": (lambda v: np.full(80, 0.25), "all labels are 0.25"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LABELS)
def test_labels(root, kind):
    change, text = LABELS[kind]
    path = root / "monday" / "pupil.engagement.csv"
    values = change(ssi.read_labels(path))
    ssi.write_labels(path, values)
    (line,) = odd(root)
    assert line.startswith("mine/all/monday pupil: ") and f"{path}" in line
    assert re.search(text, line)


def test_labels_of_a_likert_scale(root):
    """What lies outside of the range is named, although it counts as not rated."""
    for session, role in people():
        path = root / session / f"{role}.engagement.csv"
        ssi.write_labels(path, 1 + np.round(4 * ssi.read_labels(path)))
    scale = Scale(low=1.0, high=5.0)
    assert odd(root, scale=scale) == []
    path = root / "monday" / "pupil.engagement.csv"
    values = ssi.read_labels(path)
    values[:8] = 6
    ssi.write_labels(path, values)
    (line,) = odd(root, scale=scale)
    assert "10% of the labels lie outside of `data.label_range` = (1, 5)" in line
    unit = [line for line in odd(root) if "Do they have another scale?" in line]
    assert len(unit) == 4


SOME = np.arange(200)[:, None] % 7 == 0
FEATURES = {
    "-1": (lambda v: np.where(SOME, -1, np.abs(v)), "often -1 in 2"),
    "-999": (lambda v: np.where(SOME, -999, v), "often -999 in 2"),
    "1e30": (lambda v: np.where(SOME, 1e30, v), "beyond 1e+08"),
    "nothing": (lambda v: np.full_like(v, np.nan), "holds no number at all"),
    "constant": (lambda v: np.full_like(v, 3.0), "never changes"),
    "scale": (lambda v: 1000 * v, "982 times as large"),
}


@pytest.mark.parametrize("kind", FEATURES)
def test_features(root, kind):
    change, text = FEATURES[kind]
    path = root / "monday" / "pupil.face.stream"
    data = change(ssi.read_stream(path).data.copy()).astype(np.float32)
    ssi.write_stream(path, data, 25.0)
    (line,) = odd(root)
    assert line.startswith("mine/all/monday pupil: face ") and text in line
    if kind == "scale":
        return
    assert f"{path}" in line
    # What the configuration calls missing is not odd.
    if kind.startswith("-"):
        known = dataclasses.replace(FACE, missing_value=float(kind))
        assert odd(root, features=(VOICE, known)) == []


def test_what_holds_for_everybody_is_said_some_times(tmp_path):
    for session in range(5):
        for role in ("teacher", "pupil"):
            folder = tmp_path / f"{session}"
            data = np.ones((200, 2), np.float32)
            ssi.write_stream(folder / f"{role}.face.stream", data, 25.0)
            ssi.write_labels(folder / f"{role}.engagement.csv", np.arange(80) / 80)
    found = odd(tmp_path, features=(FACE,))
    assert len(found) == 6 and found[-1] == "... and 5 more like the last one."


def test_people_of_two_splits(tmp_path):
    """Names of people who are not in every session; `teacher` is a seat."""
    rng = np.random.default_rng(0)
    groups = {
        ("train", "1"): "ann,bob",
        ("train", "2"): "cem,dora",
        ("val", "3"): "ann,eva",
    }
    for (split, session), names in groups.items():
        for role in names.split(","):
            folder = tmp_path / split / session
            data = rng.normal(size=(200, 2)).astype(np.float32)
            ssi.write_stream(folder / f"{role}.face.stream", data, 25.0)
            ssi.write_labels(folder / f"{role}.csv", rng.uniform(size=80))
    place = dataclasses.replace(
        layout(
            feature_path="{split}/{session}/{role}.{stem}.stream",
            label_path="{split}/{session}/{role}.csv",
        ),
        splits=("train", "val"),
        roles=("ann", "bob", "cem", "dora", "eva"),
    )
    found = corpus_index.index(tmp_path, features=(FACE,), layout=place)
    (line,) = find_oddities(found.sessions, None)
    assert line.startswith("ann is in mine/train/1 and in mine/val/3: a model that is")
