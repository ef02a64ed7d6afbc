"""Annotations in time, their raters, their range and their delay."""

import numpy as np
import pytest
from forms import elan_text, layout, lines, streams, write_rows

from damamba_jax.config.layout import LabelConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import LabelSource, Scale
from damamba_jax.data.corpus.patterns import Match
from damamba_jax.data.corpus.table_rows import Span
from damamba_jax.data.formats import annotations, elan, ssi
from damamba_jax.errors import ConfigError, DataFormatError

NAN = float("nan")


def source(path, config, *, fields=None, rate=2.0, seconds=60.0, turns=None, **scale):
    return LabelSource(
        pieces=tuple(Match(p, fields or {}) for p in np.atleast_1d(path)),
        config=config,
        fields={"session": "s", "role": "ann"},
        turns=turns or {},
        rate=rate,
        limit_seconds=seconds,
        scale=Scale(**scale),
    )


INTERVALS = LabelConfig(values=("v",), start="from", end="to")


@pytest.mark.parametrize(
    ("rows", "frames"),
    [
        ([(0, 1, 3), (1, 2, 4)], [3, 3, 4, 4]),
        # In any order, with a pause; an interval ends where the next one starts.
        ([(1.5, 2.5, 4), (0, 1, 3)], [3, 3, NAN, 4, 4]),
        ([(0, 2, 3), (1, 2, 4)], [3, 3, 4, 4]),
        # A frame is its moment: what lies between two of them is none's.
        ([(0, 0.6, 3), (0.6, 0.9, 4), (0.9, 1.2, 5)], [3, 3, 5]),
        ([(0, 1, ""), (1, 2, 4)], [NAN, NAN, 4, 4]),
        ([(0, 1, 3), ("", 2, 4), (1, "", 5)], [3, 3]),
        ([], []),
    ],
)
def test_intervals(tmp_path, rows, frames):
    path = tmp_path / "l.csv"
    write_rows(path, ("from", "to", "v"), rows)
    np.testing.assert_array_equal(source(path, INTERVALS).read(), frames)


@pytest.mark.parametrize("end", [1e6, 1e300, "inf"])
def test_no_claim_is_longer_than_the_recording(tmp_path, end):
    path = tmp_path / "l.csv"
    write_rows(path, ("from", "to", "v"), [(0, 1, 3), (1, end, 4)])
    expected = [3, 3, 4, 4, 4, 4] if end != "inf" else [3, 3]
    found = source(path, INTERVALS, seconds=3.0).read()
    np.testing.assert_array_equal(found, expected)


def test_changes_hold_until_the_next_one(tmp_path):
    path = tmp_path / "l.csv"
    write_rows(path, ("t", "v"), [(0.5, 3), (2, 4), (1.5, "")])
    config = LabelConfig(values=("v",), start="t")
    found = source(path, config, seconds=3.0).read()
    np.testing.assert_array_equal(found, [NAN, 3, 3, NAN, 4, 4])
    with pytest.raises(ConfigError, match="`start` beside `end`"):
        LabelConfig(end="t")


def test_points_hold_up_to_half_way_to_the_next(tmp_path):
    path = tmp_path / "l.csv"
    times = [0, 1, 2, 3, 6, 7]
    write_rows(path, ("t", "v"), [(t, t) for t in times])
    found = source(path, LabelConfig(values=("v",), time="t"), rate=4.0).read()
    expected = [
        min(times, key=lambda t: (abs(t - i / 4), -t)) for i in range(len(found))
    ]
    held = [abs(i / 4 - t) <= 0.75 for i, t in enumerate(expected)]
    held[15] = False  # the reach ends there
    np.testing.assert_array_equal(found, np.where(held, expected, NAN))


def test_range_and_delay(tmp_path, caplog):
    path = tmp_path / "l.csv"
    write_rows(path, ("from", "to", "v"), [(0, 1, 1), (1, 2, 3), (2, 3, 5), (3, 4, 9)])
    scale = {"low": 1.0, "high": 5.0, "delay_seconds": 0.5}
    found = source(path, INTERVALS, **scale).read()
    np.testing.assert_array_equal(found, [0, 0.5, 0.5, 1, 1, NAN, NAN])
    assert "2 frames are rated outside of `data.label_range` = (1, 5)" in caplog.text
    lines = tmp_path / "lines.csv"
    ssi.write_labels(lines, np.array([1.0, 2, 3, 4, 5]))
    found = source(lines, None, **scale).read()
    np.testing.assert_array_equal(found, [0.25, 0.5, 0.75, 1, NAN])


def test_values_that_mostly_lie_outside_of_the_chosen_range(tmp_path):
    lines = tmp_path / "lines.csv"
    ssi.write_labels(lines, np.array([1.0, 2, 3, NAN, 5]))
    assert source(lines, None).read().tolist()[2] == 3.0
    message = r"`data.label_range` = \(0, 1\), got 1 to 5.*label_range=1,5"
    with pytest.raises(DataFormatError, match=message):
        source(lines, None, chosen=True).read()
    ssi.write_labels(lines, np.array([0.0, 0.5, 1.0, 1.5]))
    assert source(lines, None, chosen=True).read().tolist() == [0, 0.5, 1, 1.5]


def test_raters_in_columns_rows_files_and_tiers(tmp_path):
    wide, long = tmp_path / "wide.csv", tmp_path / "long.csv"
    write_rows(wide, ("from", "to", "r_eve", "r_kim"), [(0, 1, 1, 2), (1, 2, 3, "")])
    rows = [("eve", 0, 1, 1), ("kim", 0, 1, 2), ("eve", 1, 2, 3)]
    write_rows(long, ("who", "from", "to", "v"), rows)
    tiers = {"ann_eve": [(0, 1, 1), (1, 2, 3)], "ann_kim": [(0, 1, 2)]}
    eaf = tmp_path / "t.eaf"
    eaf.write_text(elan_text({**tiers, "bob_eve": [(0, 5, 9)]}))
    intervals = {"start": "from", "end": "to"}
    by_file = []
    for name, rows in (("eve", [(0, 1, 1), (1, 2, 3)]), ("kim", [(0, 1, 2)])):
        path = tmp_path / f"{name}.csv"
        write_rows(path, ("from", "to", "v"), rows)
        by_file.append(Match(path, {"rater": name}))
    sources = [
        source(wide, LabelConfig(values=("r_{rater}",), **intervals)),
        source(long, LabelConfig(values=("v",), rows=("who={rater}",), **intervals)),
        source(eaf, LabelConfig(tier="{role}_{rater}")),
        LabelSource(
            pieces=tuple(by_file), config=INTERVALS, fields={}, turns={}, rate=2.0,
            limit_seconds=60.0,
        ),
    ]  # fmt: skip
    for found in sources:
        raters = found.read_raters()
        assert list(raters) == ["eve", "kim"]
        np.testing.assert_array_equal(raters["eve"], [1, 1, 3, 3])
        np.testing.assert_array_equal(raters["kim"], [2, 2, NAN, NAN])
        np.testing.assert_array_equal(found.read(), [1.5, 1.5, 3, 3])


def test_turns(tmp_path):
    path = tmp_path / "l.csv"
    write_rows(path, ("n", "v"), [("2", 4), ("1", 3), ("7", 5)])
    config = LabelConfig(values=("v",), turn="n")
    turns = {"1": Span(0.0, 1.0), "2": Span(1.5, 2.0)}
    found = source(path, config, turns=turns).read()
    np.testing.assert_array_equal(found, [3, 3, NAN, 4])
    with pytest.raises(ConfigError, match="set `data.layout.turns`"):
        source(path, config).read()


def test_nova_segments_whose_names_are_numbers(tmp_path):
    path = tmp_path / "a.annotation"
    annotations.write_annotation(
        path,
        annotations.DiscreteAnnotation(
            name="likert",
            classes={0: "1", 1: "5", 2: "no face"},
            start=np.array([0.0, 1.0, 1.5, 2.0]),
            stop=np.array([1.0, 1.5, 2.0, 3.0]),
            id=np.array([0, 2, -1, 1], np.int32),
            confidence=np.ones(4, np.float32),
        ),
    )
    found = source(path, LabelConfig()).read()
    np.testing.assert_array_equal(found, [1, 1, NAN, NAN, 5, 5])


def test_the_stretches_of_an_annotation_are_read_once(tmp_path, monkeypatch):
    path = tmp_path / "t.eaf"
    path.write_text(elan_text({"ann": [(0, 1, 3), (1, 2, 4)]}))
    read, reads = elan.read_tiers, []
    monkeypatch.setattr(elan, "read_tiers", lambda p: reads.append(p) or read(p))
    rated = source(path, LabelConfig())
    assert rated.spans == rated.spans == (Span(0.0, 1.0, "1"), Span(1.0, 2.0, "2"))
    assert reads == [path]


def test_elan_files_are_not_believed(tmp_path):
    path = tmp_path / "t.eaf"
    text = elan_text({"ann": [(0, 1, 3), (1, 2, 4)]})
    reference = (
        '<TIER TIER_ID="ann"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="m" '
        'ANNOTATION_REF="n2"><ANNOTATION_VALUE>7</ANNOTATION_VALUE></REF_ANNOTATION>'
        "</ANNOTATION></TIER></ANNOTATION_DOCUMENT>"
    )
    path.write_text(text.replace("</ANNOTATION_DOCUMENT>", reference))
    found = source(path, LabelConfig()).read()
    np.testing.assert_array_equal(found, [3, 3, 7, 7])
    for old, new, message in (
        ('TIME_VALUE="1000"', 'TIME_VALUE="-5"', "milliseconds from 0 on"),
        ('TIME_SLOT_REF1="a1"', 'TIME_SLOT_REF1="zz"', "TIME_SLOT 'zz'"),
        ("ANNOTATION_DOCUMENT", "DOCUMENT", "<ANNOTATION_DOCUMENT>"),
        ("?>", "?><!DOCTYPE x [<!ENTITY a 'b'>]>", "without entities"),
        (">3<", ">high<", None),
        ("</TIER>", "", "well-formed XML"),
    ):
        path.write_text(text.replace(old, new))
        if message is None:
            np.testing.assert_array_equal(
                source(path, LabelConfig()).read(), [NAN, NAN, 4, 4]
            )
            continue
        with pytest.raises(DataFormatError, match=message):
            source(path, LabelConfig()).read()


def test_an_annotation_that_was_replaced_is_refused(tmp_path):
    features, places = streams(tmp_path)
    places |= lines(tmp_path)
    found = corpus_index.index(tmp_path, features=features, layout=layout(**places))
    session = found.sessions[0]
    assert len(session.annotation(0)) == session.num_frames(0) == 80
    path = session.participants[0].labels_path
    path.write_text(path.read_text() + "0.5\n")
    with pytest.raises(DataFormatError, match="expected 80, as indexed .*, got 81"):
        session.annotation(0)
