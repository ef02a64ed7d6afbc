"""Training on turns that are rated as a whole."""

import dataclasses

import numpy as np
import pytest
from example import TINY
from forms import LABEL_RATE, LABELS, intervals, layout, streams

from damamba_jax.config.layout import TurnsConfig
from damamba_jax.data.batches.windows import EvaluationSource, TrainingSource
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.errors import CorpusError

WINDOW = dataclasses.replace(
    TINY.data.window,
    frame_hz=25.0,
    past_frames=8,
    core_frames=16,
    future_frames=8,
    stride_frames=16,
)


def corpus(root, form, unit="turn"):
    features, places = streams(root)
    found = corpus_index.index(
        root,
        features=features,
        layout=layout(**places | LABELS[form](root)),
        scale=Scale(unit=unit),
    )
    data = dataclasses.replace(
        TINY.data, features=features, window=WINDOW, cache_dir="", label_unit=unit
    )
    return found.sessions, data


def training(sessions, data, **options):
    given = dict(max_participants=2, batch_size=16, seed=1, num_steps=40)
    return TrainingSource(sessions, data, **given | options)


@pytest.mark.parametrize("form", ["turn_csv", "interval_csv", "elan"])
def test_a_window_shows_the_labels_of_one_turn(form, tmp_path):
    sessions, data = corpus(tmp_path, form)
    source = training(sessions, data)
    rated = [
        v for s in sessions for p in s.participants for v in intervals(s.id, p.role)
    ]
    assert source.num_windows == len(rated)
    cores = set()
    for step in range(len(source)):
        batch = source[step]
        counts = batch["label_valid"] & batch["label_core"]
        for row in np.flatnonzero(counts.any(axis=1)):
            shown = batch["label"][row, counts[row]]
            assert len(set(shown.tolist())) == 1 and len(shown) <= LABEL_RATE / 2
        np.testing.assert_array_equal(batch["label_valid"], counts)
        first = np.argmax(counts, axis=1)[:, None]
        cores |= set(np.take_along_axis(batch["label_time"], first, axis=1).ravel())
    # The place of the core is drawn anew each time.
    assert len(cores) > 3


def test_an_epoch_visits_every_turn_once(tmp_path):
    sessions, data = corpus(tmp_path, "turn_csv")
    source = training(sessions, data, batch_size=64, num_steps=2)
    assert source.num_windows == 64
    for step in range(2):
        batch = source[step]
        # Turns of half a second fit into a core of 16 frames, at 25 Hz.
        assert (batch["label_valid"].sum(axis=1) == LABEL_RATE / 2).all()
        labels = np.max(batch["label"] * batch["label_valid"], axis=1)
        rated = [v for s in sessions for p in s.participants
                 for *_, v in intervals(s.id, p.role)]  # fmt: skip
        assert set(labels.tolist()) <= {np.float32(v) for v in rated}
    again = training(sessions, data, batch_size=64, num_steps=2)
    np.testing.assert_array_equal(source[1]["label"], again[1]["label"])


def test_validation_tells_the_turns_of_frames(tmp_path):
    sessions, data = corpus(tmp_path, "turn_csv")
    source = EvaluationSource(sessions, data, batch_size=8)
    seen = {}
    for i in range(len(source)):
        batch, rows = source[i]
        for turn, label in zip(
            rows.turn[rows.turn >= 0], batch["label"][rows.turn >= 0], strict=True
        ):
            seen.setdefault(int(turn), set()).add(float(label))
    assert len(seen) == 64 and all(len(values) == 1 for values in seen.values())


def test_frames_count_where_nothing_is_said_about_turns(tmp_path):
    sessions, data = corpus(tmp_path, "turn_csv", unit="frame")
    assert sessions[0].turns(0) is None
    batch, rows = EvaluationSource(sessions, data, batch_size=8)[0]
    assert (rows.turn == -1).all() and batch["label_valid"].any()


def test_turns_of_a_table_are_known_without_labels(tmp_path):
    features, places = streams(tmp_path)
    LABELS["turn_csv"](tmp_path)
    turns = TurnsConfig(files="turns.csv", turn="n", start="from", end="to")
    found = corpus_index.index(
        tmp_path,
        features=features,
        layout=layout(**places, label_path="{session}/{role}.none", turns=turns),
        scale=Scale(unit="turn"),
    )
    names = found.sessions[0].turns(1).name
    assert names == tuple(str(i + 1) for i in range(16))


def test_training_on_turns_needs_turns(tmp_path):
    sessions, data = corpus(tmp_path, "lines")
    with pytest.raises(CorpusError, match="at least one turn with a rated frame"):
        training(sessions, data)
