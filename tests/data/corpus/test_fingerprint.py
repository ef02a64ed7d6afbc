"""A corpus is the same wherever it lies, and another one once a file changes."""

import shutil

import numpy as np
from example import TINY

from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.fingerprint import fingerprints
from damamba_jax.data.formats import ssi
from damamba_jax.data.simulated import write as simulated_write


def test_only_content_counts(tmp_path):
    simulated_write.write_corpus(tmp_path / "one", "tiny")
    shutil.copytree(tmp_path / "one", tmp_path / "two")

    def read(name):
        features = TINY.data.features
        return fingerprints(corpus_index.index(tmp_path / name, features=features))

    one = read("one")
    assert one == read("two") and len(set(one.values())) == len(one) > 2
    label = next((tmp_path / "two" / "noxi" / "val").rglob("*.engagement.*csv"))
    values = ssi.read_labels(label)
    values[-1] = 0.5
    ssi.write_labels(label, values)
    two = read("two")
    assert [name for name in one if one[name] != two[name]] == [
        f"noxi/val/{label.parent.name}"
    ]
    stream = next((tmp_path / "two" / "noxi" / "train").rglob("*.stream~"))
    stream.write_bytes(np.ones(stream.stat().st_size, np.uint8).tobytes())
    assert sum(one[name] != read("two")[name] for name in one) == 2
