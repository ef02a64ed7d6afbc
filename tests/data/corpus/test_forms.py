"""The same corpus in every form gives the same batches."""

import dataclasses

import numpy as np
import pytest
from example import TINY
from forms import (
    FACE,
    FEATURES,
    LABELS,
    SESSIONS,
    build,
    layout,
    leaves,
    lines,
    people,
    streams,
    write_rows,
)

from damamba_jax.config.layout import TableConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.batches.windows import EvaluationSource
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.formats import ssi
from damamba_jax.errors import ConfigError, DataFormatError


def batches(root, features, places, cache):
    found = corpus_index.index(
        root, features=features, layout=layout(**places), cache_dir=cache
    )
    return build(found, features, cache)


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


def test_several_features_out_of_one_file(tmp_path):
    rows = [(i / 25, i, 2 * i, 3 * i) for i in range(200)]
    for session, role in people():
        path = tmp_path / session / f"{role}.openface.csv"
        write_rows(path, ("time", "AU01_r", "AU02_r", "pose_Rx"), rows)
    features = tuple(
        FeatureConfig(
            name=name, dim=dim, group="visual", rate=25.0, stems=("openface",),
            table=TableConfig(columns=(columns,), time="time"),
        )
        for name, dim, columns in (("units", 2, "AU*"), ("head", 1, "pose_*"))
    )  # fmt: skip
    places = {"feature_path": "{session}/{role}.{stem}.csv"} | lines(tmp_path)
    found = corpus_index.index(tmp_path, features=features, layout=layout(**places))
    assert found.problems == ()
    for session in found.sessions:
        for person in session.participants:
            units, head = (person.tracks[f.name].open().data for f in features)
            np.testing.assert_array_equal(units, np.array(rows)[:, 1:3])
            np.testing.assert_array_equal(head, np.array(rows)[:, 3:])


def test_tables_of_different_columns_are_told_apart(tmp_path):
    """A pattern takes columns in the order of the file: that must be one order."""
    for session, role in people():
        split = "train" if session == SESSIONS[0] else "val"
        names = ("AU01_r", "AU02_r")[:: -1 if split == "val" else 1]
        path = tmp_path / split / session / f"{role}.face.csv"
        write_rows(path, names, [(1, 2)] * 200)
        lines = np.full(80, 0.5)
        ssi.write_labels(tmp_path / split / session / f"{role}.txt", lines)
    feature = dataclasses.replace(FACE, table=TableConfig(columns=("AU*",)))
    place = layout(
        feature_path="{split}/{session}/{role}.{stem}.csv",
        label_path="{split}/{session}/{role}.txt",
    )
    place = dataclasses.replace(place, splits=("train", "val"))

    def find(feature, **options):
        return corpus_index.index(
            tmp_path, features=(feature,), layout=place, **options
        )

    with pytest.raises(DataFormatError, match="expected 'AU01_r' in its place"):
        find(feature)
    problems = find(feature, strict=False).problems
    assert len(problems) == 2 and "name the columns in the configuration" in problems[0]
    named = dataclasses.replace(
        feature, table=TableConfig(columns=("AU01_r", "AU02_r"))
    )
    assert find(named).problems == ()


def test_whoever_has_no_row_was_not_there(tmp_path):
    for session in SESSIONS:
        rows = [("Teacher", i / 25, i, i) for i in range(200)]
        write_rows(tmp_path / f"{session}.csv", ("who", "t", "x", "y"), rows)
    table = TableConfig(columns=("x", "y"), time="t", rows=("who={role}",))
    feature = dataclasses.replace(FACE, table=table)
    found = corpus_index.index(
        tmp_path,
        features=(feature,),
        layout=layout(feature_path="{session}.csv", label_path="{session}/{role}.txt"),
    )
    assert [len(s.participants) for s in found.sessions] == [1, 1]
    assert sum("no row in any table" in problem for problem in found.problems) == 2


@pytest.mark.parametrize(
    ("place", "pattern"),
    [
        ("feature_path", "{session}/{stem}.csv"),  # two people
        ("feature_path", "../{session}/{role}.csv"),
        ("label_path", "{session}.csv"),
        ("label_path", "{session}/{role}.{kind}"),
    ],
)
def test_patterns_that_lack_a_field(tmp_path, place, pattern):
    feature = dataclasses.replace(FACE, table=TableConfig(columns=("x",)))
    places = {"feature_path": "{session}/{role}.csv", "label_path": "{session}/{role}"}
    with pytest.raises(ConfigError, match="expected"):
        corpus_index.index(
            tmp_path, features=(feature,), layout=layout(**places | {place: pattern})
        )


def test_a_partner_alone_is_seen_and_never_scored(tmp_path):
    features, places = streams(tmp_path)
    places |= lines(tmp_path)
    place = dataclasses.replace(layout(**places), partner_roles=("teacher",))
    for session in SESSIONS:
        (tmp_path / session / "teacher.engagement.csv").unlink()
    found = corpus_index.index(tmp_path, features=features, layout=place)
    assert found.problems == ()
    data = dataclasses.replace(TINY.data, features=features, cache_dir="")
    for targets in ("labelled", "all"):
        source = EvaluationSource(found.sessions, data, batch_size=4, targets=targets)
        for i in range(len(source)):
            batch, rows = source[i]
            seats = zip(rows.session, rows.participant, strict=True)
            roles = {found.sessions[s].participants[p].role for s, p in seats}
            assert roles == {"pupil"} and batch["participant_valid"].all()
    for wrong in (("robot",), ("teacher", "pupil")):
        with pytest.raises(ConfigError, match="expected some of teacher, pupil"):
            dataclasses.replace(place, partner_roles=wrong)
