"""Scores from 0 to 1 become the annotation's own numbers wherever they are shown."""

import dataclasses

import numpy as np
from example import TINY
from forms import csv_per_person, layout, people, write_rows

from damamba_jax.config.layout import LabelConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.splits import EvaluationSplit
from damamba_jax.evaluation.results import Result, to_tree
from damamba_jax.evaluation.scoring import score_split, write_predictions
from damamba_jax.files import read_text
from damamba_jax.inference.sessions import predict_sessions
from damamba_jax.reporting.result_tables import write_markdown
from damamba_jax.reporting.timelines import draw_split
from damamba_jax.runs.traces import read_traces, write_traces


def write_ratings(root):
    """Two raters, 1 to 5; nobody has rated the last person."""
    for number, (session, role) in enumerate(people()[:-1]):
        rows = [(t, t + 2, 1 + (t // 2 + number) % 5, 5) for t in (0, 2, 4, 6)]
        rows[1] = (2, 4, 3, "")
        path = root / session / f"{role}.ratings.csv"
        write_rows(path, ("from", "to", "eve", "kim"), rows)
    return {
        "label_path": "{session}/{role}.ratings.csv",
        "labels": LabelConfig(values=("eve", "kim"), start="from", end="to"),
    }


def test_from_the_annotation_to_every_file(tmp_path):
    features, places = csv_per_person(tmp_path)
    found = corpus_index.index(
        tmp_path,
        features=features,
        layout=layout(**places, **write_ratings(tmp_path)),
        scale=Scale(low=1.0, high=5.0),
    )
    session = found.sessions[0]
    assert session.label_range == (1.0, 5.0)
    unit = session.participants[0].labels()
    assert unit[0] == 0.5 and unit[20] == 0.5  # (1 + 5) / 2, and 3
    data = dataclasses.replace(
        TINY.data, features=features, cache_dir=str(tmp_path / "cache")
    )
    traces = predict_sessions(
        lambda batch, num_frames: batch["label"] * 0.5,
        found.sessions, data, batch_size=8, frame_multiple=1,
    )  # fmt: skip
    for trace in traces[:-1]:
        assert trace.label.min() >= 3 and trace.label.max() > 4
        half = 1 + (trace.label - 1) / 2
        np.testing.assert_allclose(trace.prediction, half, atol=1e-6)
    write_traces(tmp_path / "out", traces)
    kept = read_traces(tmp_path / "out", "mine/all")
    for trace, other in zip(traces, kept, strict=True):
        assert other.label_range == (1.0, 5.0)
        np.testing.assert_array_equal(other.prediction, trace.prediction)
    write_predictions(traces, tmp_path / "out")
    (path,) = (tmp_path / "out" / "mine" / "all").rglob("*.csv")
    assert set(read_text(path).split()) == {"1.000000"}
    check_tables(tmp_path, EvaluationSplit("mine/all", "other", found.sessions), traces)


def check_tables(folder, split, traces):
    scored = score_split(split, traces)
    label = np.concatenate([t.label for t in traces[:-1]])
    assert scored.scores is not None
    np.testing.assert_allclose(scored.scores.mae, (label - 1).mean() / 2, rtol=1e-5)
    assert scored.raters.keys() == {"eve", "kim"}
    result = Result(
        method="m", step=1, protocol="stitched", trained_on_simulated=False,
        scored_on_simulated=False, splits=(scored,),
    )  # fmt: skip
    assert to_tree(result)["splits"][0]["raters"] == scored.raters
    write_markdown(folder / "results.md", [result])
    page = read_text(folder / "results.md")
    assert f"{scored.scores.mae:.4f}" in page
    assert "- mine/all: human ceiling, CCC of each rater with the mean of the " in page
    draw_split(folder / "pictures", traces, num_timelines=1)
    assert len(list((folder / "pictures").glob("*.png"))) == 2
