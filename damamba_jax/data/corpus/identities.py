"""Finds out which person sat in which seat of each session.

One person may take part in several sessions. The table `data.layout.people` names
everybody. Without a table, roles such as `ann`, `bob` and `eve` count as names of
people, and roles such as `left` and `right` as seats. Roles are seats if there is only
one, if one of them is in every session, or if all of the largest sessions have the same
roles and no other session has a role besides these.

Neither case nor the form of accents (NFC, NFD) matters in names of seats and of people.
Two people who count as one only end up in the same fold, but one person who counts as
two would be trained on and tested. The first spelling that is met is shown.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from damamba_jax.data.corpus import patterns
from damamba_jax.data.corpus.sessions import Participant, Session
from damamba_jax.data.formats.open_table import open_table
from damamba_jax.data.formats.tables import check_columns
from damamba_jax.errors import format_error

# A longer table is refused, since no corpus has so many seats.
_MAX_ROWS = 1 << 20
# A problem names at most so many seats.
_NAMED = 3


class Seat(NamedTuple):
    """The place where a person sat, as a row of the table gives it.

    An empty split stands for all splits, and an empty role for the only person there.
    """

    split: str
    session: str
    role: str

    def __str__(self) -> str:
        """Returns a text such as `train/monday pupil`."""
        return " ".join(filter(None, ("/".join(filter(None, self[:2])), self.role)))


def read_people(path: Path, *, with_roles: bool) -> dict[Seat, str]:
    """Reads a table of people; a person has the first of the spellings in the table.

    Args:
      path: a table with the columns `session` and `person`, and maybe `role` and
        `split`.
      with_roles: whether it must have the column `role`.

    Returns:
      People by seat; the names of seats have the form of `patterns.plain_name`.

    Raises:
      DataFormatError: if a column is absent, if there are too many rows, or if two
        people have the same seat.
    """
    table = open_table(path)
    places = [name for name in Seat._fields if name in table.names]
    check_columns(table, ["session", "person", *["role"] * with_roles])
    found: dict[Seat, str] = {}
    spellings: dict[str, str] = {}
    rows = 0
    for block in table.blocks([], [*places, "person"]):
        rows += len(block.texts[0].codes)
        if rows > _MAX_ROWS:
            raise format_error(
                path, "rows", expected=f"{_MAX_ROWS} at most", got="more"
            )
        columns = {name: [""] * len(block.texts[0].codes) for name in Seat._fields}
        for name, (codes, values) in zip([*places, "person"], block.texts, strict=True):
            texts = [text.strip() for text in values]
            columns[name] = [texts[code] for code in codes.tolist()]
        people = columns.pop("person")
        for *place, person in zip(*columns.values(), people, strict=True):
            seat = Seat(*map(patterns.plain_name, place))
            person = _spell(person, spellings)
            if person and found.setdefault(seat, person) != person:
                raise format_error(
                    path,
                    "person",
                    expected=f"one person for {seat}",
                    got=f"{found[seat]} and {person}",
                )
    return found


def name_people(
    sessions: Sequence[Session], table: Path | None, problems: list[str]
) -> list[Session]:
    """Adds the names of people to sessions; a name that is not known is empty.

    Args:
      sessions: all sessions of a corpus.
      table: the table of people; `None` where there is none.
      problems: gets a line about seats that the table does not name, and a line about
        rows that fit no seat.

    Raises:
      DataFormatError: for a malformed table.
    """
    if table is None:
        roles = [one.role for session in sessions for one in session.participants]
        named, spellings = _are_names(sessions), dict[str, str]()
        names = {role: _spell(role, spellings) * named for role in roles}
        return [_name(session, names) for session in sessions]
    several = any(len(session.participants) > 1 for session in sessions)
    rows = read_people(table, with_roles=several)
    used: set[Seat] = set()
    unknown: list[str] = []
    found = []
    for session in sessions:
        people = {}
        for one in session.participants:
            seats = [seat for seat in _seats(session, one) if seat in rows]
            used.update(seats)
            people[one.role] = rows[seats[0]] if seats else ""
            if not seats and one.is_target:
                unknown.append(f"{session.split}/{session.id} {one.role}")
        found.append(_name(session, people))
    if unknown:
        problems.append(f"{table}: no row says who sat in {_some(unknown)}.")
    if rest := [f"{seat}" for seat in rows if seat not in used]:
        problems.append(f"{table}: nobody of the corpus sat in {_some(rest)}.")
    return found


def _seats(session: Session, person: Participant) -> list[Seat]:
    """Returns the rows that may name a person; the most detailed one comes first."""
    split, name, role = (
        patterns.plain_name(text)
        for text in (session.split.rsplit("/", 1)[-1], session.id, person.role)
    )
    roles = [role, ""] if len(session.participants) == 1 else [role]
    return [Seat(s, name, r) for s in (split, "") for r in roles]


def _name(session: Session, people: Mapping[str, str]) -> Session:
    participants = [
        dataclasses.replace(person, person=people[person.role])
        for person in session.participants
    ]
    return dataclasses.replace(session, participants=tuple(participants))


def _are_names(sessions: Sequence[Session]) -> bool:
    """Says whether roles are names of people.

    No role is in every session, and the largest sessions do not all have every role of
    the corpus, as they would if roles were seats that are empty now and then.
    """
    seated = [
        frozenset(patterns.plain_name(one.role) for one in session.participants)
        for session in sessions
    ]
    everybody = frozenset[str]().union(*seated)
    if len(everybody) < 2 or frozenset.intersection(*seated):
        return False
    most = max(map(len, seated))
    return any(len(roles) == most and roles != everybody for roles in seated)


def _spell(name: str, spellings: dict[str, str]) -> str:
    """Returns the first spelling of a name, and keeps a name that is new."""
    return spellings.setdefault(patterns.plain_name(name), name)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
