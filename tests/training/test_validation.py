"""A split that validates needs ratings, which is found out before the first step."""

import dataclasses

import numpy as np
import pytest
from example import TINY
from forms import configure_data, labels, people, streams
from rich.console import Console

from damamba_jax.data.formats import ssi
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import CorpusError
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.training import loop


class Began(Exception):
    """The run has gone as far as its first step."""


@pytest.mark.parametrize(
    ("rated", "val_split", "error"),
    [
        (False, "mine/val", CorpusError),
        (True, "mine/val", Began),
        (False, "", Began),
    ],
)
def test_validation_without_a_rating_is_refused_before_the_first_step(
    tmp_path, monkeypatch, rated, val_split, error
):
    def begin(*_, **__):
        raise Began

    # The run opens its checkpoints when everything else is ready.
    monkeypatch.setattr(loop, "Saver", begin)
    # Nothing of this is compiled, since nothing is trained.
    monkeypatch.setattr(loop, "_compile_step", lambda *_: None)
    root = tmp_path / "corpus"
    for split in ("train", "val"):
        features, _ = streams(root / split)
        for session, role in people():
            values = labels(session, role)
            if split == "val" and not rated:
                values = np.full_like(values, np.nan)
            ssi.write_labels(root / split / session / f"{role}.csv", values)
    places = {
        "feature_path": "{split}/{session}/{role}.{stem}.stream",
        "label_path": "{split}/{session}/{role}.csv",
    }
    data = configure_data(root, features, places, val_split=val_split)
    data = dataclasses.replace(
        data, train_splits=("mine/train",),
        layout=dataclasses.replace(data.layout, splits=("train", "val")),
    )  # fmt: skip
    config = dataclasses.replace(TINY, data=data)
    with StopRequest() as stop, pytest.raises(error) as raised:
        loop.fit(
            config, tmp_path / "run", open_corpus(data), stop=stop,
            console=Console(quiet=True),
        )  # fmt: skip
    if error is CorpusError:
        text = str(raised.value)
        assert "split mine/val: expected at least one rating among 2 sessions" in text
        assert "or choose another split" in text
    assert not list(tmp_path.glob("run/checkpoints/*/[0-9]*"))
