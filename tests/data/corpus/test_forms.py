"""The same corpus in every form gives the same batches."""

import dataclasses

import numpy as np
import pytest
from example import TINY
from forms import FEATURES, LABELS, layout, lines, streams

from damamba_jax.data.batches.builder import BatchBuilder, BatchRows
from damamba_jax.data.corpus import index as corpus_index


def batches(root, features, places, cache):
    found = corpus_index.index(
        root, features=features, layout=layout(**places), cache_dir=cache
    )
    assert found.problems == ()
    window = dataclasses.replace(
        TINY.data.window, window_frames=64, core_frames=32, stride_frames=32
    )
    builder = BatchBuilder(
        found.sessions, features=features, window=window, cache_dir=cache
    )
    people = np.array([[0, 1], [1, 0], [2, 3], [3, 2]])
    cores = np.array([0, 32, 100, 160])
    rows = BatchRows(people, people % 2, cores, np.ones(4, bool))
    return builder.build(rows)


def leaves(batch):
    for name, value in batch.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", array) for key, array in value.items())
        else:
            yield name, value


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    root = tmp_path_factory.mktemp("streams")
    features, places = streams(root)
    return batches(root, features, places | lines(root), str(root / "cache"))


def check(found, expected):
    wanted = dict(leaves(expected[0]))
    assert wanted["label_valid"].sum() > 50 and wanted["feature_valid.face"].all()
    for name, value in leaves(found[0]):
        np.testing.assert_allclose(value, wanted[name], atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("form", FEATURES)
@pytest.mark.parametrize("cached", [True, False])
def test_features(form, cached, expected, tmp_path):
    root = tmp_path / "corpus"
    features, places = FEATURES[form](root)
    places |= lines(root)
    cache = str(tmp_path / "cache") if cached else ""
    check(batches(root, features, places, cache), expected)
    if cached:
        # A second time from the cache alone.
        check(batches(root, features, places, cache), expected)


@pytest.mark.parametrize("form", LABELS)
def test_labels(form, expected, tmp_path):
    root = tmp_path / "corpus"
    features, places = streams(root)
    check(batches(root, features, places | LABELS[form](root), ""), expected)
