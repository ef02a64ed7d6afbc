"""Annotations that are classes, in every form."""

import class_forms
import numpy as np
import pytest
from class_forms import NAMES
from forms import configure_data, people, streams

from damamba_jax.data.batches.people import People
from damamba_jax.data.corpus.ceiling import human_ceiling
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.formats.class_names import ClassNames
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import DataFormatError


def read(root, form, **changes):
    features, places = streams(root)
    places = places | class_forms.FORMS[form](root)
    data = configure_data(root, features, places, classes=NAMES, **changes)
    return open_corpus(data)


@pytest.mark.parametrize("form", class_forms.FORMS)
def test_every_form_gives_the_same_classes(form, tmp_path):
    found = read(tmp_path, form)
    assert found.problems == ()
    sessions = {session.id: session for session in found.sessions}
    for session, role in people():
        one = sessions[session]
        seat = [person.role for person in one.participants].index(role)
        wanted = class_forms.numbers(session, role)
        np.testing.assert_array_equal(one.annotation(seat)[: len(wanted)], wanted)
        assert one.classes == NAMES and one.label_range == (0.0, 2.0)


def test_turns_have_a_class_each(tmp_path):
    found = read(tmp_path, "turn_csv", label_unit="turn")
    people_of = People(found.sessions)
    weight = people_of.class_weights(3)
    names = [n for s, r in people() for n in class_forms.steps(s, r) if n]
    count = np.array([names.count(name) for name in NAMES])
    np.testing.assert_allclose(weight, len(names) / (3 * count), rtol=1e-6)
    # All classes together count alike, and a label weighs 1 on average.
    np.testing.assert_allclose(np.sum(weight * count) / len(names), 1.0, rtol=1e-6)


def test_a_class_without_labels_weighs_nothing(tmp_path):
    found = read(tmp_path, "lines")
    weight = People(found.sessions).class_weights(4)
    assert weight[3] == 0 and (weight[:3] > 0).all()
    assert len(People(found.sessions).class_weights(0)) == 0


def test_raters_of_classes_have_a_ceiling(tmp_path):
    found = read(tmp_path, "rater_csv")
    ceiling = human_ceiling(found.sessions)
    assert ceiling.measure == "kappa" and ceiling.raters["bob"] < 0
    assert "with the choice of the others" in str(ceiling)


def test_a_file_of_other_classes_is_an_error_that_names_them(tmp_path):
    found = read(tmp_path, "lines")
    path = found.sessions[0].participants[0].labels_path
    path.write_text("play\n" * 80)
    with pytest.raises(DataFormatError) as caught:
        found.sessions[0].annotation(0)
    assert "expected the classes alone, near, together" in str(caught.value)
    assert "got 'play'" in str(caught.value)


def test_names_are_read_in_any_case_and_as_numbers():
    read_class = ClassNames(("0", "1", "Yes"))
    assert [read_class(text) for text in ("1", "1.0", " yes ", "0,0")] == [1, 1, 2, 0]
    assert np.isnan(read_class("")) and np.isnan(read_class("nan"))
    with pytest.raises(ValueError, match="'2' names no class"):
        read_class("2")
    values, refused = read_class.read(["1", "no", "", "no"])
    np.testing.assert_array_equal(values, [1, np.nan, np.nan, np.nan])
    assert refused == [1, 3]


def test_a_scale_of_classes_has_their_numbers_as_its_range():
    assert Scale(classes=NAMES).label_range == (0.0, 2.0)
