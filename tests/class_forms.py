"""The small corpus of `forms.py` with a class for each half second, in every form."""

import dataclasses
from pathlib import Path

import numpy as np
from forms import (
    ROLES,
    SESSIONS,
    elan_text,
    intervals,
    people,
    write_rows,
    write_turns,
)

from damamba_jax.config.layout import LabelConfig
from damamba_jax.data.formats import annotations

NAMES = ("alone", "near", "together")
# Half seconds that nobody rated.
UNRATED = (3, 4)


def steps(session: str, role: str) -> list[str]:
    """Names of the class of each half second; empty where nobody rated."""
    found = [NAMES[int(3 * value)] for _, _, value in intervals(session, role)]
    return ["" if i in UNRATED else name for i, name in enumerate(found)]


def numbers(session: str, role: str) -> np.ndarray:
    """What is to be read: the number of the class of each frame at 10 Hz."""
    each = [NAMES.index(name) if name else np.nan for name in steps(session, role)]
    return np.repeat(np.array(each, float), 5)


def rows(session: str, role: str):
    return [(i / 2, (i + 1) / 2, name) for i, name in enumerate(steps(session, role))]


def lines(root: Path):
    """One name per line, as PInSoRo has them; a blank line keeps its frame."""
    for session, role in people():
        path = root / session / f"{role}.class.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = [name for name in steps(session, role) for _ in range(5)]
        path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    return {"label_path": "{session}/{role}.class.csv"}


def interval_csv(root: Path):
    for session in SESSIONS:
        table = [(role, *row) for role in ROLES for row in rows(session, role)]
        write_rows(root / f"{session}_class.csv", ("who", "from", "to", "is"), table)
    return {
        "label_path": "{session}_class.csv",
        "labels": LabelConfig(
            values=("is",), start="from", end="to", rows=("who={role}",)
        ),
    }


def rater_csv(root: Path):
    """Three raters, one of whom is always wrong; names in other cases."""
    for session, role in people():
        table = []
        for i, name in enumerate(numbers(session, role)):
            right = "" if np.isnan(name) else NAMES[int(name)]
            wrong = "" if np.isnan(name) else NAMES[int(name + 1) % 3]
            table.append((i / 10, right.upper(), wrong, f" {right} "))
        path = root / session / f"{role}_raters.csv"
        write_rows(path, ("time", "by_ann", "by_bob", "by_cem"), table)
    return {
        "label_path": "{session}/{role}_raters.csv",
        "labels": LabelConfig(values=("by_{rater}",), time="time"),
    }


def turn_csv(root: Path):
    return write_turns(root, steps)


def nova(root: Path):
    for session, role in people():
        start, stop, names = zip(*rows(session, role), strict=True)
        # Classes of the file in an order of their own.
        ids = [{"near": 0, "together": 1, "alone": 7}.get(name, -1) for name in names]
        annotations.write_annotation(
            root / session / f"{role}.class.annotation",
            annotations.DiscreteAnnotation(
                name="social", classes={0: "near", 1: "together", 7: "alone"},
                start=np.array(start), stop=np.array(stop), id=np.array(ids),
                confidence=np.ones(len(ids), np.float32),
            ),
        )  # fmt: skip
    return {"label_path": "{session}/{role}.class.annotation"}


def elan(root: Path):
    for session in SESSIONS:
        tiers = {role: [row for row in rows(session, role) if row[2]] for role in ROLES}
        (root / session).mkdir(parents=True, exist_ok=True)
        path = root / session / "class.eaf"
        path.write_text(elan_text(tiers), encoding="utf-8")
    return {"label_path": "{session}/class.eaf"}


FORMS = {
    form.__name__: form
    for form in (lines, interval_csv, rater_csv, turn_csv, nova, elan)
}


def with_classes(config, data, **optim):
    """A configuration that learns the classes of a corpus."""
    loss = "cross-entropy-mean" if data.label_unit == "turn" else "cross-entropy"
    section = dataclasses.replace(config.optim, loss=loss, **optim)
    return dataclasses.replace(config, data=data, optim=section)
