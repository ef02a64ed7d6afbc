"""One small corpus in every form that people keep their recordings in."""

import csv
import dataclasses
import functools
from pathlib import Path

import numpy as np
from example import TINY

from damamba_jax.config.layout import (
    LabelConfig,
    LayoutConfig,
    TableConfig,
    TurnsConfig,
)
from damamba_jax.config.sections import DataConfig, FeatureConfig
from damamba_jax.data.batches.builder import BatchBuilder, BatchRows
from damamba_jax.data.formats import annotations, ssi

SECONDS = 8
LABEL_RATE = 10.0
SESSIONS = ("monday", "tuesday")
ROLES = ("teacher", "pupil")
VOICE = FeatureConfig(name="voice", dim=3, group="audio", rate=50.0, stems=("voice",))
FACE = FeatureConfig(name="face", dim=2, group="visual", rate=25.0, stems=("face",))
NAMES = {"voice": ("pitch", "loudness", "jitter"), "face": ("AU01_r", "AU12_r")}
TURN_SECONDS = 2


@functools.cache
def values(session: str, role: str, name: str) -> np.ndarray:
    """Values of a feature, which six digits hold exactly."""
    feature = {"voice": VOICE, "face": FACE}[name]
    rng = np.random.default_rng([*session.encode(), *role.encode(), feature.dim])
    frames = round(SECONDS * feature.rate)
    return rng.integers(-4096, 4096, (frames, feature.dim)).astype(np.float32) / 64


@functools.cache
def labels(session: str, role: str) -> np.ndarray:
    """Annotation at 10 Hz that is the same for half a second."""
    rng = np.random.default_rng([*role.encode(), *session.encode()])
    steps = rng.integers(1, 64, SECONDS * 2) / 64
    return np.repeat(steps, round(LABEL_RATE / 2))


def people():
    return [(session, role) for session in SESSIONS for role in ROLES]


def write_rows(path: Path, names, rows, *, delimiter=",", decimal=".") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(names)
        for row in rows:
            writer.writerow([str(v).replace(".", decimal) for v in row])


# --- Features ----------------------------------------------------------------------


def streams(root: Path):
    for session, role in people():
        for feature in (VOICE, FACE):
            path = root / session / f"{role}.{feature.name}.stream"
            ssi.write_stream(path, values(session, role, feature.name), feature.rate)
    return (VOICE, FACE), {"feature_path": "{session}/{role}.{stem}.stream"}


def with_table(**options) -> tuple[FeatureConfig, ...]:
    return tuple(
        dataclasses.replace(
            feature, table=TableConfig(**{"columns": NAMES[feature.name], **options})
        )
        for feature in (VOICE, FACE)
    )


def timed(session: str, role: str, feature: FeatureConfig):
    """Rows of time and values."""
    data = values(session, role, feature.name).tolist()
    return [(i / feature.rate, *row) for i, row in enumerate(data)]


def csv_per_person(root: Path):
    for session, role in people():
        for f in (VOICE, FACE):
            path = root / session / f"{role}.{f.name}.csv"
            write_rows(path, ("time", *NAMES[f.name]), timed(session, role, f))
    return with_table(time="time"), {"feature_path": "{session}/{role}.{stem}.csv"}


def csv_at_a_rate(root: Path):
    for session, role in people():
        for f in (VOICE, FACE):
            path = root / session / f"{role}.{f.name}.tsv"
            rows = [row[1:] for row in timed(session, role, f)]
            write_rows(path, NAMES[f.name], rows, delimiter="\t")
    return with_table(), {"feature_path": "{session}/{role}.{stem}.tsv"}


def german_csv(root: Path):
    """Semicolons, decimal commas, milliseconds; rows in no order, some twice."""
    for session, role in people():
        for f in (VOICE, FACE):
            path = root / session / f"{role}.{f.name}.csv"
            rows = [(1000 * t, *row) for t, *row in timed(session, role, f)]
            rows = rows[::-1] + rows[3:5]
            write_rows(path, ("ms", *NAMES[f.name]), rows, delimiter=";", decimal=",")
    features = with_table(time="ms", time_unit="ms")
    return features, {"feature_path": "{session}/{role}.{stem}.csv"}


def csv_per_session(root: Path):
    for session in SESSIONS:
        for f in (VOICE, FACE):
            rows = [(role, *row) for role in ROLES for row in timed(session, role, f)]
            path = root / f"{session}_{f.name}.csv"
            write_rows(path, ("who", "time", *NAMES[f.name]), rows)
    features = with_table(time="time", rows=("who={role}",))
    return features, {"feature_path": "{session}_{stem}.csv"}


def csv_per_turn(root: Path):
    turns = range(SECONDS // TURN_SECONDS)
    for session, role in people():
        for f in (VOICE, FACE):
            rows = [row[1:] for row in timed(session, role, f)]
            length = round(TURN_SECONDS * f.rate)
            for turn in turns:
                path = root / session / f"{role}.{f.name}_T{turn + 1}.csv"
                part = rows[turn * length : (turn + 1) * length]
                write_rows(path, NAMES[f.name], part)
    for session in SESSIONS:
        rows = [(turn + 1, 1000 * TURN_SECONDS) for turn in turns]
        write_rows(root / session / "turns.csv", ("turn", "ms"), rows)
    return with_table(), {
        "feature_path": "{session}/{role}.{stem}_T{turn}.csv",
        "turns": TurnsConfig(
            files="{session}/turns.csv", turn="turn", duration="ms", time_unit="ms"
        ),
    }


def npy(root: Path):
    for session, role in people():
        for f in (VOICE, FACE):
            path = root / session / f"{role}.{f.name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, values(session, role, f.name))
    return with_table(columns=()), {"feature_path": "{session}/{role}.{stem}.npy"}


def npz(root: Path):
    for session, role in people():
        path = root / session / f"{role}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f.name: values(session, role, f.name) for f in (VOICE, FACE)}
        np.savez_compressed(path, **arrays)
    features = [
        dataclasses.replace(f, table=TableConfig(columns=(f"{f.name}.*",)))
        for f in (VOICE, FACE)
    ]
    return tuple(features), {"feature_path": "{session}/{role}.npz"}


def parquet(root: Path):
    import pyarrow as pa
    from pyarrow import parquet

    for session in SESSIONS:
        for f in (VOICE, FACE):
            rows = [(r, *row) for r in ROLES for row in timed(session, r, f)]
            names = ("who", "time", *NAMES[f.name])
            columns = dict(zip(names, zip(*rows, strict=True), strict=True))
            root.mkdir(parents=True, exist_ok=True)
            parquet.write_table(pa.table(columns), root / f"{session}_{f.name}.parquet")
    features = with_table(time="time", rows=("who={role}",))
    return features, {"feature_path": "{session}_{stem}.parquet"}


FEATURES = {
    form.__name__: form
    for form in (
        csv_per_person, csv_at_a_rate, german_csv, csv_per_session, csv_per_turn, npy,
        npz, parquet,
    )
}  # fmt: skip


# --- Labels ------------------------------------------------------------------------


def intervals(session: str, role: str):
    """Rows of start, end and value."""
    steps = labels(session, role)[:: round(LABEL_RATE / 2)]
    return [(i / 2, (i + 1) / 2, value) for i, value in enumerate(steps)]


def lines(root: Path):
    for session, role in people():
        path = root / session / f"{role}.engagement.csv"
        ssi.write_labels(path, labels(session, role))
    return {"label_path": "{session}/{role}.engagement.csv"}


def interval_csv(root: Path):
    for session in SESSIONS:
        rows = [(r, *row) for r in ROLES for row in intervals(session, r)]
        path = root / f"{session}_engagement.csv"
        write_rows(path, ("who", "from", "to", "engagement"), rows)
    return {
        "label_path": "{session}_engagement.csv",
        "labels": LabelConfig(
            values=("engagement",), start="from", end="to", rows=("who={role}",)
        ),
    }


def timed_csv(root: Path):
    """Two raters, whose mean is the label."""
    for session, role in people():
        rows = [
            (f"00:{i / LABEL_RATE:05.2f}", value + 0.125, value - 0.125)
            for i, value in enumerate(labels(session, role))
        ]
        path = root / session / f"{role}_ratings.csv"
        write_rows(path, ("time", "rater_ann", "rater_bob"), rows)
    return {
        "label_path": "{session}/{role}_ratings.csv",
        "labels": LabelConfig(
            values=("rater_{rater}",), time="time", time_unit="mm:ss"
        ),
    }


def turn_csv(root: Path):
    return write_turns(root, lambda s, r: [value for _, _, value in intervals(s, r)])


def write_turns(root: Path, cells):
    """Wide: a row for each person, a column for each half second.

    Args:
      root: of the corpus.
      cells: the values of a session and a role.
    """
    count = 2 * SECONDS
    rows = [(session, role, *cells(session, role)) for session, role in people()]
    names = [f"Turn {i + 1}" for i in range(count)]
    write_rows(root / "all.csv", ("Session", "Person", *names), rows)
    spans = [(i + 1, i / 2, (i + 1) / 2) for i in range(count)]
    write_rows(root / "turns.csv", ("n", "from", "to"), spans)
    return {
        "label_path": "all.csv",
        "labels": LabelConfig(
            values=("Turn {turn}",), rows=("Session={session}", "Person={role}")
        ),
        "turns": TurnsConfig(
            files="turns.csv", turn="n", start="from", end="to", rows=()
        ),
    }


def nova(root: Path):
    for session, role in people():
        score = labels(session, role).astype(np.float32)
        annotations.write_annotation(
            root / session / f"{role}.engagement.annotation",
            annotations.ContinuousAnnotation(
                name="engagement",
                sample_rate=LABEL_RATE,
                minimum=0.0,
                maximum=1.0,
                score=score,
                confidence=np.ones_like(score),
            ),
        )
    return {
        "label_path": "{session}/{role}.engagement.annotation",
    }


def elan(root: Path):
    for session in SESSIONS:
        (root / session).mkdir(parents=True, exist_ok=True)
        path = root / session / "engagement.eaf"
        tiers = {role: intervals(session, role) for role in ROLES}
        path.write_text(elan_text(tiers), encoding="utf-8")
    return {"label_path": "{session}/engagement.eaf"}


def elan_text(tiers) -> str:
    """An ELAN document: tier -> rows of start, end and value."""
    slots, parts, number = [], [], 0
    for name, rows in tiers.items():
        parts.append(f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="default">')
        for start, end, value in rows:
            number += 1
            for end_of, seconds in (("a", start), ("b", end)):
                slots.append(
                    f'<TIME_SLOT TIME_SLOT_ID="{end_of}{number}" '
                    f'TIME_VALUE="{round(1000 * seconds)}"/>'
                )
            parts.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="n{number}" '
                f'TIME_SLOT_REF1="a{number}" TIME_SLOT_REF2="b{number}">'
                f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE>"
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        parts.append("</TIER>")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT VERSION="3.0">'
        f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(parts)}"
        "</ANNOTATION_DOCUMENT>"
    )


LABELS = {
    form.__name__: form
    for form in (lines, interval_csv, timed_csv, turn_csv, nova, elan)
}


def layout(**places) -> LayoutConfig:
    return LayoutConfig(
        name="mine", splits=("all",), roles=ROLES, label_rate=LABEL_RATE, **places
    )


def configure_data(root: Path, features, places, **changes) -> DataConfig:
    """What to read from a corpus in `root` whose files are at `places`."""
    return dataclasses.replace(
        TINY.data,
        root=str(root),
        cache_dir=str(root / "cache"),
        features=features,
        layout=layout(**places),
        train_splits=("mine/all",),
        **changes,
    )


# --- Batches -----------------------------------------------------------------------


def build(found, features, cache):
    """Batches of a corpus that was found without problems, with what they need."""
    assert found.problems == ()
    window = dataclasses.replace(
        TINY.data.window,
        past_frames=16,
        core_frames=32,
        future_frames=16,
        stride_frames=32,
    )
    builder = BatchBuilder(
        found.sessions, features=features, window=window, cache_dir=cache
    )
    people = np.array([[0, 1], [1, 0], [2, 3], [3, 2]])
    cores = np.array([0, 32, 100, 160])
    rows = BatchRows(
        people,
        people % 2,
        cores,
        np.ones(4, bool),
        builder.people.annotations(people[:, 0]),
    )
    return builder.build(rows)


def leaves(batch):
    """Arrays of a batch with their names."""
    for name, value in batch.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", array) for key, array in value.items())
        else:
            yield name, value
