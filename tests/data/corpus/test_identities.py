"""People who come again are known by a table, or by roles that are names."""

import dataclasses
import shutil

import pytest
from example import TINY
from forms import FACE, VOICE, layout, lines, streams

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.identities import name_people
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.data.corpus.splits import validation_sessions
from damamba_jax.data.oddities import find_oddities
from damamba_jax.errors import ConfigError, DataFormatError


def read(root, table: str | None = None, **changes):
    """The corpus with a table of people, whose path is given or not."""
    places = {
        "feature_path": "{session}/{role}.{stem}.stream",
        "label_path": "{session}/{role}.engagement.csv",
    }
    if table is not None:
        (root / "people.csv").write_text(table)
        places["people"] = "people.csv"
    described = dataclasses.replace(layout(**places), **changes)
    return corpus_index.index(root, features=(VOICE, FACE), layout=described)


@pytest.fixture
def root(tmp_path):
    streams(tmp_path)
    lines(tmp_path)
    return tmp_path


def people(found):
    return {
        f"{session.id} {one.role}": one.person
        for session in found.sessions
        for one in session.participants
    }


def test_a_table_says_who_sat_where(root):
    table = """person;role;session
Ann;Teacher;monday
 bob ;pupil;Monday
Ann;pupil;tuesday"""
    found = read(root, table)
    assert people(found) == {
        "monday teacher": "Ann", "monday pupil": "bob",
        "tuesday teacher": "", "tuesday pupil": "Ann",
    }  # fmt: skip
    (line,) = found.problems
    assert line.endswith("no row says who sat in mine/all/tuesday teacher.")
    assert found.sessions[0].people == {"Ann", "bob"}


def test_accents_of_another_form_are_the_same_session(root):
    (root / "monday").rename(root / "jose\u0301")
    table = "session,role,person\njos\u00e9,teacher,Ann\njos\u00e9,pupil,Bob\n"
    named = people(read(root, table))
    assert {named[f"jose\u0301 {role}"] for role in ("teacher", "pupil")} == {
        "Ann",
        "Bob",
    }


def test_seats_that_are_empty_now_and_then_are_no_names(root):
    for name in ("tuesday/teacher", "wednesday/pupil"):
        folder, role = name.split("/")
        if not (root / folder).is_dir():
            shutil.copytree(root / "monday", root / folder)
        for path in (root / folder).glob(f"{role}.*"):
            path.unlink()
    # No role is in every session.
    assert set(people(read(root)).values()) == {""}


def sessions(*roles):
    """Sessions of nothing but people with these roles."""
    return [
        Session(
            corpus="mine", split="mine/all", id=f"{number}", duration=1.0,
            label_rate=25.0,
            participants=tuple(Participant(role=role, tracks={}) for role in one),
        )
        for number, one in enumerate(roles)
    ]  # fmt: skip


PAIRS = ["ab", "bc", "cd", "ad"]


@pytest.mark.parametrize(
    ("roles", "are_names"),
    [
        (PAIRS, True),
        # The largest session does not hold everybody, so it has no seat for everybody.
        ([*PAIRS, "abc"], True),
        ([*PAIRS, "abc", "abc"], True),
        (["a", "bc", "a"], True),
        # All roles fit into the largest sessions, as seats do.
        ([*PAIRS, "abcd"], False),
        ([*PAIRS, "abcd", "abcd"], False),
        # The role `a` is in every session, as an interviewer is.
        (["ab", "ac", "ad"], False),
        (["a", "a"], False),
    ],
)
def test_roles_that_do_not_all_fit_into_the_largest_sessions_are_names(
    roles, are_names
):
    found = name_people(sessions(*roles), None, [])
    names = ["".join(one.person for one in s.participants) for s in found]
    assert names == [one if are_names else "" for one in roles]


@pytest.mark.parametrize("other", ["jose\u0301", "Jos\u00e9", "JOSE\u0301"])
def test_case_and_the_form_of_accents_do_not_make_another_person(root, other):
    found = name_people(
        sessions(["jos\u00e9", "bob"], [other, "eve"], ["bob", "eve"]), None, []
    )
    assert found[0].people & found[1].people == {"jos\u00e9"}
    # A seat that everybody has does not become a name by its spelling.
    found = name_people(sessions(["jos\u00e9", "bob"], [other, "eve"]), None, [])
    assert not found[0].people
    table = f"""session,role,person\nmonday,teacher,jos\u00e9\nmonday,teacher,{other}
tuesday,teacher,{other}\nmonday,pupil,x\ntuesday,pupil,y"""
    first, second = read(root, table).sessions
    assert first.people == {"jos\u00e9", "x"} and second.people == {"jos\u00e9", "y"}


def test_seats_are_no_names_and_there_may_be_no_table(root):
    assert set(people(read(root)).values()) == {""}
    found = read(root, people="who/people.csv")
    assert set(people(found).values()) == {""}
    (line,) = found.problems
    assert line == f"`data.layout.people`: no table {root / 'who/people.csv'}."


def test_rows_of_nobody_are_named(root):
    rows = [f"{s},{r},x" for s in ("monday", "tuesday") for r in ("pupil", "teacher")]
    rows += ["sunday,pupil,ann", "monday,dog,rex"]
    (line,) = read(root, "\n".join(["session,role,person", *rows])).problems
    assert line.endswith("nobody of the corpus sat in sunday pupil, monday dog.")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("session,person\nmonday,ann", "'role'"),
        ("session,role\nmonday,pupil", "'person'"),
        (
            "session,role,person\nmonday,pupil,ann\nmonday,Pupil,bob",
            "one person for monday pupil, got ann and bob",
        ),
    ],
)
def test_a_table_that_does_not_tell_is_refused(root, table, text):
    with pytest.raises(DataFormatError, match=text):
        read(root, table)


@pytest.mark.parametrize("path", ["../people.csv", "{who}.csv", "/etc/people.csv"])
def test_the_table_lies_below_the_root(root, path):
    with pytest.raises(ConfigError, match="layout.people"):
        read(root, people=path)


def test_a_session_of_one_person_needs_no_role(root):
    place = LayoutConfig(
        name="mine",
        splits=("all",),
        roles=("pupil",),
        feature_path="{session}/{role}.{stem}.stream",
        label_path="{session}/{role}.engagement.csv",
        label_rate=10.0,
        people="people.csv",
    )
    (root / "people.csv").write_text("session,person\nmonday,7\ntuesday,7\n")
    found = corpus_index.index(root, features=(VOICE, FACE), layout=place)
    assert people(found) == {"monday pupil": "7", "tuesday pupil": "7"}


def test_whoever_is_in_two_splits_is_named_and_never_chooses_for_a_test(root):
    for name, split in (("monday", "train"), ("tuesday", "val")):
        (root / split).mkdir()
        (root / name).rename(root / split / "1")
    table = """split,session,role,person
train,1,teacher,ann\ntrain,1,pupil,bob\nval,1,teacher,cem\nval,1,pupil,ann"""
    found = read(
        root, table, splits=("train", "val"),
        feature_path="{split}/{session}/{role}.{stem}.stream",
        label_path="{split}/{session}/{role}.engagement.csv",
    )  # fmt: skip
    assert found.problems == ()
    (line,) = find_oddities(found.sessions, None)
    assert line.startswith("ann is in mine/train/1 and in mine/val/1: a model that is")
    data = dataclasses.replace(
        TINY.data, train_splits=("mine/train",), val_split="mine/val"
    )
    assert len(validation_sessions(found, data)) == 1
    tested = dataclasses.replace(data, test_sessions=("mine/train/1",))
    assert validation_sessions(found, tested) == ()
