"""Tables say where every number comes from, and JSON is strict."""

import dataclasses
import io
import json
import logging

import numpy as np
import pytest
from rich.console import Console

from damamba_jax.evaluation.published import PUBLISHED
from damamba_jax.evaluation.results import (
    OracleReference,
    Result,
    SplitResult,
    read_results,
)
from damamba_jax.metrics.fairness import Fairness
from damamba_jax.metrics.intervals import Scores
from damamba_jax.metrics.trace import Trace
from damamba_jax.reporting import timelines
from damamba_jax.reporting.result_tables import (
    main_table,
    tables,
    write_json,
    write_markdown,
)
from damamba_jax.reporting.timelines import draw_split, draw_timeline

MAIN = "Test CCC beside published results"
VALIDATION = "Validation (not comparable with published test scores)"


def make_scores(ccc=0.7, **changes):
    values = {
        "num_frames": 1000, "num_sessions": 4, "ccc": ccc, "pearson": ccc + 0.01,
        "mse": 0.02, "mae": 0.1, "ccc_low": ccc - 0.05, "ccc_high": ccc + 0.05,
    }  # fmt: skip
    return Scores(**{**values, **changes})


def make_split(name, kind, ccc=0.7, **changes):
    return SplitResult(
        split=name, kind=kind, num_sessions=4, scores=make_scores(ccc), **changes
    )


def make_oracle(ccc, bare_ccc, *, is_transfer=False):
    return OracleReference(
        seen="3.84 s window", is_transfer=is_transfer, ccc=ccc, bare_ccc=bare_ccc
    )


def make_result(*splits, trained=False, scored=False):
    return Result(
        method="noxi",
        step=1200,
        protocol="stitched",
        trained_on_simulated=trained,
        scored_on_simulated=scored,
        splits=splits,
    )


def cells(table, method):
    """The row of `method`, by column."""
    (row,) = [row for row in table.rows if row[0].startswith(method)]
    return dict(zip(table.columns, row, strict=True))


def test_published_rows_stand_with_their_source():
    table = main_table([make_result(make_split("noxi/test-base", "test"))])
    published = [row for row in table.rows if row[-1].startswith("published [")]
    assert len(published) == len(PUBLISHED) == 14
    paper = cells(table, "DA-Mamba (paper)")
    assert paper["NoXi Base"] == "0.77" and paper["Global"] == "0.66"
    winner = cells(table, "USTC-IAT-United")
    assert (winner["NoXi-Add"], winner["MPIIGI"], winner["Global"]) == (
        "0.73", "0.59", "0.68",
    )  # fmt: skip
    disputed = [row for row in table.rows if row[0] == "YKK"]
    assert [row[4] for row in disputed] == ["0.54", "0.58"]
    assert [row[-1] for row in disputed] == ["published [1]", "published [2]"]
    assert "[1] github.com/MSA-LMC/DAT" in table.notes[1]


def test_only_corpora_of_the_challenge_stand_beside_published_rows(tmp_path):
    for split, expected in (("noxi/val", True), ("noxi-j/val", True),
                            ("mine/test", False), ("noxious/test", False)):  # fmt: skip
        result = make_result(make_split(split, "validation"))
        found = [table.title for table in tables([result])]
        assert (MAIN in found) == expected
        write_json(tmp_path / "results.json", [result])
        tree = json.loads((tmp_path / "results.json").read_text())
        assert bool(tree["published"]) == expected


def test_published_means_are_those_of_their_columns_but_for_one():
    wrong = [
        (row.method, row.overall)
        for row in PUBLISHED
        # Three rounded numbers and a rounded mean.
        if abs((row.base + row.add + row.mpiigi) / 3 - row.overall) > 0.0101
    ]
    assert wrong == [("YKK", 0.54)]


def test_our_row_has_a_global_only_with_all_three_test_sets():
    two = (
        make_split("noxi/test-base", "test", 0.76),
        make_split("noxi/test-additional", "test", 0.70),
    )
    row = cells(main_table([make_result(*two)]), "noxi, step 1200")
    assert row["NoXi Base"] == "0.760 [0.71, 0.81]"
    assert (row["MPIIGI"], row["Global"], row["origin"]) == ("–", "–", "ours")
    third = make_split("mpiigroupinteraction/test", "test", 0.52)
    row = cells(main_table([make_result(*two, third)]), "noxi, step 1200")
    assert row["Global"] == "0.660"


@pytest.mark.parametrize(
    "split",
    [
        make_split("noxi/val", "validation", 0.912),
        # Trained on: its number must not pass for a test score.
        make_split("noxi/test-base", "training", 0.912),
        make_split("my-corpus/test", "test", 0.912),
    ],
)
def test_only_published_test_sets_stand_in_published_columns(split):
    result = make_result(split)
    table = main_table([result])
    row = cells(table, "noxi, step 1200")
    assert [row[c] for c in ("NoXi Base", "NoXi-Add", "MPIIGI", "Global")] == ["–"] * 4
    assert "no labelled test set" in table.notes[-1]
    others = [t for t in tables([result]) if t.title != MAIN]
    assert "0.912" in others[0].to_markdown()


def test_validation_has_its_own_table():
    result = make_result(
        make_split("noxi/test-base", "test", 0.6), make_split("noxi/val", "validation")
    )
    by_title = {table.title: table for table in tables([result])}
    assert [row[0] for row in by_title[VALIDATION].rows] == ["noxi/val"]
    assert [row[0] for row in by_title["Test sets"].rows] == ["noxi/test-base"]


@pytest.mark.parametrize(
    ("trained", "scored", "mark"),
    [
        (False, False, "ours"),
        (True, True, "simulated"),
        (True, False, "trained on simulated, scored on recorded data"),
        (False, True, "trained on recorded, scored on simulated data"),
    ],
)
def test_origin_of_data_stands_in_every_row(trained, scored, mark):
    split = make_split(
        "noxi/test-base", "test", by_role={"expert": make_scores(0.5)},
        by_session={"noxi/test-base/001": make_scores()}, ridge=make_scores(0.4),
    )  # fmt: skip
    result = make_result(split, trained=trained, scored=scored)
    rows = [
        dict(zip(table.columns, row, strict=True))["origin"]
        for table in tables([result])
        for row in table.rows
        if row[-1] and not row[-1].startswith("published")
    ]
    references = "simulated" if scored else "ours"
    assert len(rows) == 6
    assert set(rows) <= {mark, references} and rows.count(mark) >= 5
    note = "\n".join(main_table([result]).notes)
    assert ("simulated corpus" in note) == scored


def test_oracle_table_and_shares():
    split = make_split(
        "noxi/test-base",
        "test",
        0.75,
        ridge=make_scores(0.55),
        oracle=make_oracle(ccc=0.875, bare_ccc=0.86),
    )
    assert split.share_of_oracle == pytest.approx(0.857, abs=1e-3)
    assert split.gap_closed == pytest.approx(0.2 / 0.325)
    result = make_result(split, trained=True, scored=True)
    by_title = {table.title: table for table in tables([result])}
    (row,) = by_title["Against the oracle (simulated)"].rows
    assert row[-2:] == ("86 %", "62 %")
    main = by_title[MAIN]
    assert cells(main, "oracle, 3.84 s window")["NoXi Base"] == "0.875"
    assert cells(main, "ridge")["origin"] == "simulated"


def test_the_oracle_of_all_test_sets_is_one_row():
    names = ("noxi/test-base", "noxi/test-additional", "mpiigroupinteraction/test")
    result = make_result(
        *(
            make_split(name, "test", oracle=make_oracle(0.9, 0.8, is_transfer=i > 0))
            for i, name in enumerate(names)
        ),
        trained=True,
        scored=True,
    )
    by_title = {table.title: table for table in tables([result])}
    row = cells(by_title[MAIN], "oracle, 3.84 s window")
    assert row["Global"] == "0.900" and row["origin"] == "simulated"
    assert "transfer oracle" in by_title[MAIN].notes[-1]
    named = [row[5] for row in by_title["Against the oracle (simulated)"].rows]
    assert named == [
        "oracle, 3.84 s window",
        *["transfer oracle, 3.84 s window"] * 2,
    ]


def test_no_gap_where_ridge_reaches_the_oracle():
    split = make_split(
        "noxi/val", "validation", ridge=make_scores(0.9),
        oracle=make_oracle(ccc=0.9, bare_ccc=0.9),
    )  # fmt: skip
    assert split.gap_closed is None
    assert split.share_of_oracle == pytest.approx(0.7 / 0.9)


def test_several_models_stand_in_one_table_and_references_once():
    split = make_split(
        "noxi/test-base", "test", ridge=make_scores(0.4),
        oracle=make_oracle(ccc=0.9, bare_ccc=0.9),
    )  # fmt: skip
    one = make_result(split, trained=True, scored=True)
    two = dataclasses.replace(one, method="dat", protocol="long")
    table = main_table([one, two])
    assert [row[0] for row in table.rows[:4]] == [
        "noxi, step 1200",
        "dat, step 1200, one long pass",
        "ridge regression per frame",
        "oracle, 3.84 s window",
    ]


def test_files_are_strict_json_and_markdown(tmp_path):
    unlabelled = SplitResult(
        split="noxi/test-additional",
        kind="test",
        num_sessions=3,
        num_unlabelled=6,
        predictions="runs/x/predictions",
    )
    lonely = make_split("noxi/val", "validation")
    lonely = dataclasses.replace(
        lonely, scores=make_scores(ccc_low=None, ccc_high=None)
    )
    result = make_result(lonely, unlabelled, trained=True, scored=True)
    write_json(tmp_path / "new" / "results.json", [result])
    write_markdown(tmp_path / "new" / "results.md", [result])
    tree = json.loads((tmp_path / "new" / "results.json").read_text())
    (row,) = tree["results"]
    assert row["mark"] == "simulated" and row["global_ccc"] is None
    assert row["splits"][0]["scores"]["ccc"] == 0.7
    assert row["splits"][0]["scores"]["ccc_low"] is None
    assert row["splits"][1]["scores"] is None
    assert {entry["published"] for entry in tree["published"]} == {True}
    assert all("github.com" in e["sources"][0] for e in tree["published"])
    text = (tmp_path / "new" / "results.md").read_text()
    assert "noxi/test-additional: 6 people without annotations" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines if "published [" in line} == {7}
    assert not list((tmp_path / "new").glob("*.partial"))


def test_json_refuses_values_that_are_not_finite(tmp_path):
    split = dataclasses.replace(
        make_split("noxi/val", "validation"), scores=make_scores(mse=float("nan"))
    )
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "results.json", [make_result(split)])
    assert not list(tmp_path.iterdir())


def test_tables_print_in_a_terminal():
    console = Console(file=io.StringIO(), width=200)
    for table in tables([make_result(make_split("noxi/val", "validation"))]):
        console.print(table.to_rich())
    text = console.file.getvalue()
    assert "USTC-IAT-United" in text and "0.700 [0.65, 0.75]" in text


def make_traces(roles, labelled=True, frames=400):
    rng = np.random.default_rng(0)
    traces = []
    for role in roles:
        label = np.clip(0.5 + np.cumsum(rng.normal(0, 0.02, frames)), 0, 1)
        prediction = label + rng.normal(0, 0.05, frames)
        label[100:150] = np.nan
        traces.append(
            Trace(
                split="noxi/val",
                session="003",
                role=role,
                label=label if labelled else np.full(frames, np.nan),
                prediction=prediction,
            )
        )
    return traces


def captured(monkeypatch):
    """Collects figures instead of rendering them."""
    figures = []
    monkeypatch.setattr(timelines, "save", lambda figure, path: figures.append(figure))
    return figures


def test_timeline_shows_everybody_and_says_simulated(monkeypatch):
    figures = captured(monkeypatch)
    traces = make_traces(("expert", "novice", "guest"))
    draw_timeline("x.png", traces, mark="simulated")
    (figure,) = figures
    assert figure.get_suptitle() == "noxi/val · session 003 · simulated"
    assert len(figure.axes) == 3
    for axes, trace in zip(figure.axes, traces, strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        others = {f"partner {t.role}" for t in traces if t is not trace}
        assert set(lines) == {"annotation", "prediction"} | others
        np.testing.assert_array_equal(lines["prediction"].get_ydata(), trace.prediction)
        # 400 frames at 25 Hz are 16 s.
        assert lines["prediction"].get_xdata()[-1] == pytest.approx(399 / 25 / 60)
        assert axes.yaxis.get_major_ticks()[0].label1.get_fontsize() >= 10
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["annotation", "prediction"] and len(labels) == 5


def test_people_without_annotation_are_drawn(tmp_path, caplog):
    traces = make_traces(("expert", "novice"), labelled=False)
    with caplog.at_level(logging.WARNING):
        draw_split(tmp_path, traces, num_timelines=2)
    assert [p.name for p in tmp_path.iterdir()] == ["noxi-val.003.timeline.png"]
    assert not caplog.records


def test_pictures_of_a_split(tmp_path):
    traces = make_traces(("expert", "novice"))
    draw_split(tmp_path, traces, num_timelines=3, mark="simulated")
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["noxi-val.003.timeline.png", "noxi-val.scatter.png"]
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
    draw_split(tmp_path / "none", traces, num_timelines=0)
    assert not (tmp_path / "none").exists()


def test_timelines_are_spread_from_the_worst_to_the_best(monkeypatch):
    drawn = []
    monkeypatch.setattr(timelines, "draw_scatter", lambda *args, **options: None)
    monkeypatch.setattr(
        timelines,
        "draw_timeline",
        lambda path, traces, mark: drawn.append(traces[0].session),
    )
    (base,) = make_traces(("expert",))
    rng = np.random.default_rng(0)
    traces = [
        dataclasses.replace(
            base,
            session=name,
            prediction=base.prediction + noise * rng.normal(size=400),
        )
        for name, noise in (("a", 0.4), ("b", 0.0), ("c", 0.2), ("d", 0.1), ("e", 0.8))
    ]
    draw_split("x", traces, num_timelines=3)
    assert drawn == ["e", "c", "b"]


def test_timeline_refuses_several_sessions():
    first, second = make_traces(("expert", "novice"))
    with pytest.raises(ValueError, match="expected those of one session"):
        draw_timeline("x.png", [first, dataclasses.replace(second, session="4")])


def test_a_smoothed_row_is_named_so():
    plain = make_result(make_split("noxi/test-base", "test", 0.7))
    smoothed = dataclasses.replace(plain, smoothing="gaussian 1 s")
    names = [row[0] for row in main_table([plain, smoothed]).rows[:2]]
    assert names == ["noxi, step 1200", "noxi, step 1200, smoothed (gaussian 1 s)"]


def test_four_test_sets_have_the_score_of_2025(tmp_path):
    names = ("noxi/test-base", "noxi/test-additional", "mpiigroupinteraction/test")
    splits = [make_split(name, "test", 0.6) for name in names]
    three = make_result(*splits)
    four = make_result(*splits, make_split("noxi-j/test", "test", 0.2))
    title = "Overall scores of the challenges"
    assert title not in [table.title for table in tables([three])]
    (table,) = [table for table in tables([three, four]) if table.title == title]
    assert [row[1:3] for row in table.rows] == [("Combined 2025", "0.500")]
    write_json(tmp_path / "results.json", [four])
    (tree,) = json.loads((tmp_path / "results.json").read_text())["results"]
    assert tree["challenge"] == {
        "Global 2024": pytest.approx(0.6), "Combined 2025": pytest.approx(0.5)
    }  # fmt: skip


def test_differences_between_groups_have_a_table_of_their_own(tmp_path):
    people = {"male": 3, "female": 5, "French": 4, "German": 4}
    fair = Fairness(
        gender=-0.0312, languages={"French": 0.02, "German": -0.02}, people=people
    )
    result = make_result(make_split("noxi/val", "validation", fairness=fair))
    (table,) = [t for t in tables([result]) if "CDD" in t.title]
    assert [row[2:5] for row in table.rows] == [
        ("men - women", "-0.0312", "3"),
        ("French", "+0.0200", "4"),
        ("German", "-0.0200", "4"),
    ]
    write_json(tmp_path / "results.json", [result])
    assert read_results(tmp_path / "results.json")[0].splits[0].fairness == fair
    without = make_result(make_split("noxi/val", "validation"))
    assert not [t for t in tables([without]) if "CDD" in t.title]
