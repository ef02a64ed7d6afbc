"""Columns whose values say what they are."""

import numpy as np
import pytest

from damamba_jax.data.guess.column_search import find_columns
from damamba_jax.data.guess.contents import Content
from damamba_jax.data.guess.names import Known


@pytest.mark.parametrize(
    ("moods", "found"),
    [
        (("calm", "sad or angry"), ("mood",)),
        # The configuration would list three classes: calm, sad and or angry.
        (("calm", "sad, or angry"), ()),
    ],
)
def test_classes_can_be_listed_with_commas(moods, found):
    table = Content(
        "table",
        columns=("start", "end", "mood"),
        rows=6,
        numbers={"start": np.arange(6.0), "end": np.arange(6.0) + 1},
        texts={"mood": moods * 3},
    )
    assert find_columns([table], Known(), about_turns=False).names == found
