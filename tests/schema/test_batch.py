"""Batches of a corpus, of shapes alone and of noise are described by one schema."""

import dataclasses

import jax
import numpy as np
import pytest
from example import TINY

from damamba_jax.data.batches import windows
from damamba_jax.data.batches.timeline import first_label
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.simulated.write import ensure_corpus
from damamba_jax.schema.batch import (
    BATCH,
    abstract_batch,
    batch_shape,
    label_frames,
    random_batch,
)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    root = ensure_corpus("tiny", tmp_path_factory.mktemp("cache"))
    return corpus_index.index(root, features=TINY.data.features)


@pytest.mark.parametrize("normalization", ["training", "session"])
@pytest.mark.parametrize("purpose", ["training", "evaluation"])
def test_batches_of_a_corpus_of_shapes_and_of_noise_agree(
    index, tmp_path, normalization, purpose
):
    data = dataclasses.replace(
        TINY.data, normalization=normalization, cache_dir=str(tmp_path), participants=3
    )
    sessions = index.split("noxi/train")
    if purpose == "training":
        source = windows.TrainingSource(
            sessions, data, max_participants=4, batch_size=5, seed=0, num_steps=1
        )
        read = source[0]
    else:
        read = windows.EvaluationSource(sessions, data, batch_size=5)[0].batch
    shape = batch_shape(data, batch_size=5)
    noise = random_batch(data, batch_size=5, seed=0)
    wanted = describe(abstract_batch(shape))
    assert describe(read) == wanted == describe(noise)
    assert set(read) == set(shape.names)
    assert ("session_statistics" in read) == (normalization == "session")


def describe(batch):
    """Shapes and types by name, whatever the order of the names is."""
    return {
        jax.tree_util.keystr(path): (leaf.shape, np.dtype(leaf.dtype).name)
        for path, leaf in jax.tree_util.tree_flatten_with_path(batch)[0]
    }


def test_every_array_is_described():
    assert all(array.meaning and array.axes[0] == "B" for array in BATCH.values())
    fixed = {axis for array in BATCH.values() for axis in array.axes}
    assert fixed == {"B", "P", "Tn", "Tl", "dim", 2}


@pytest.mark.parametrize("rate", [25.0, 2.0, 30000 / 1001, 29.97, 40.0])
@pytest.mark.parametrize(("frames", "frame_hz"), [(96, 100.0), (24, 25.0), (7, 30.0)])
def test_a_window_holds_as_many_labels_as_the_timeline_counts(rate, frames, frame_hz):
    window = dataclasses.replace(
        TINY.data.window,
        frame_hz=frame_hz, past_frames=0, core_frames=frames, future_frames=0,
    )  # fmt: skip
    counted = first_label(frames, frame_hz=frame_hz, label_rate=rate)
    assert label_frames(window, rate) == int(counted)


def test_noise_is_a_function_of_the_seed():
    one, same, other = (
        random_batch(TINY.data, batch_size=2, seed=seed) for seed in (0, 0, 1)
    )
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.array_equal(one["label"], other["label"])
    assert one["label_core"].any() and not one["label_core"].all()
