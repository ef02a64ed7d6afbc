"""Predictions of new recordings.

The recordings are read, compared with the training data, and scored; the scores are
written to files.
"""

import dataclasses
import functools
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

import damamba_jax
from damamba_jax.config.sections import DataConfig, FeatureConfig
from damamba_jax.config.smoothing import parse_smoothing
from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.data.recordings import open_recordings
from damamba_jax.errors import ConfigError, WorkdirError
from damamba_jax.evaluation.kept import model_digest
from damamba_jax.files import read_json, split_file_name, write_json
from damamba_jax.inference.estimator import Estimator, load_members
from damamba_jax.inference.likeness import describe_unlike
from damamba_jax.inference.recordings import (
    ParticipantScores,
    check_configs,
    score_sessions,
    widest_bands,
)
from damamba_jax.inference.sessions import Mode
from damamba_jax.reporting.numbers import ABSENT, percent
from damamba_jax.reporting.predictions import is_written, write_session
from damamba_jax.reporting.table import Table, show
from damamba_jax.runs.members import find_members
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.studies.runs import warn_of_oddities

_log = logging.getLogger(__name__)

# File that says from which models and settings the predictions of a folder were made.
RECORD = "prediction.json"


def predict_recordings(
    workdirs: Sequence[Path],
    source: Path,
    out: Path,
    *,
    layout: ConfigDict | None = None,
    protocol: Mode = "stitched",
    smoothing: str = "",
    console: Console,
) -> None:
    """Scores all sessions of a folder that are not scored yet.

    Args:
      workdirs: workdirs of trained models, or folders of cross-validations; scores are
        the mean of all models.
      source: folder of a session, of several sessions, or of a corpus.
      out: folder for the results; a participant's are in `SESSION/PARTICIPANT/`.
      layout: configuration of another layout; `None` takes the one of training.
      protocol: `"stitched"` or `"long"`, as `predict_sessions` takes it.
      smoothing: text like that of the flag, e.g. `"gaussian:1"`; empty takes the
        models' own smoothing.
      console: console for the progress and the table.

    Raises:
      CheckpointError: if a workdir holds no model.
      ConfigError: if the models do not fit each other, the configuration does not fit
        them, or the protocol or the smoothing would show them the future.
      CorpusError: if the folder holds no recordings.
      WorkdirError: if `out` holds other predictions or other files.
    """
    estimators = _load(workdirs, layout, smoothing)
    # Before anything is written: whoever has to change the command can repeat it.
    names = [str(one) for workdir in workdirs for one in find_members(workdir)]
    check_configs([one.config for one in estimators], protocol, names)
    data = estimators[0].config.data
    index = open_recordings(source, data)
    settings = {
        "models": [model_digest(estimator) for estimator in estimators],
        "reading": repr((data.layout, data.features)),
        "workdirs": [str(workdir.resolve()) for workdir in workdirs],
        "steps": [estimator.step for estimator in estimators],
        "input": str(source.resolve()),
        "protocol": protocol,
        "smoothing": str([str(e.config.smoothing) for e in estimators]),
    }
    _claim(out, settings)
    simulated = any(estimator.simulated for estimator in estimators)
    if simulated and not index.simulated:
        _log.warning("the model has seen simulated data alone; these are recordings.")
    warn_of_oddities(data, index)
    members = [estimator.member() for estimator in estimators]
    score = functools.partial(score_sessions, members, protocol=protocol)
    score_once = functools.partial(
        _score_once, estimator=estimators[0], score=score,
        mark="simulated" if simulated else "",
    )  # fmt: skip
    rows = _score_all(_folders(out, index.sessions), score_once, console)
    show(_table(rows, has_classes=bool(data.classes)), console)
    _say_how_sure(estimators, console)
    console.print(f"Written: {out}")


def _load(
    workdirs: Sequence[Path], layout: ConfigDict | None, smoothing: str
) -> list[Estimator]:
    """Loads the models, with another layout or another smoothing if one is given."""
    estimators = [one for workdir in workdirs for one in load_members(workdir)]
    if smoothing:
        # The copy checks that the smoothing fits the model.
        chosen = {"smoothing": parse_smoothing(smoothing)}
        estimators = [
            dataclasses.replace(one, config=dataclasses.replace(one.config, **chosen))
            for one in estimators
        ]
    if layout is None:
        return estimators
    other = from_config_dict(layout).data
    return [_read_as(estimator, other) for estimator in estimators]


def _score_all(
    folders: Sequence[tuple[Session, Path]],
    score_once: Callable[[Session, Path], list[tuple[str, ...]]],
    console: Console,
) -> list[tuple[str, ...]]:
    """Scores one session after the other, and returns the rows of the table."""
    rows: list[tuple[str, ...]] = []
    with ProgressLine("predictions", console, unit="sessions") as line:
        for number, (session, folder) in enumerate(folders):
            line(number, len(folders), note=session.id)
            rows += score_once(session, folder)
        line(len(folders), len(folders))
    return rows


def _table(rows: Sequence[tuple[str, ...]], *, has_classes: bool) -> Table:
    of_numbers, of_classes = ("mean", "lowest to highest"), ("frequent class", "share")
    measures = of_classes if has_classes else of_numbers
    columns = ("session", "participant", "seconds", *measures)
    return Table(title="Predictions", columns=columns, rows=tuple(rows))


def _folders(out: Path, sessions: Sequence[Session]) -> list[tuple[Session, Path]]:
    """Gives each session a folder.

    Sessions of the same name are put below folders of their splits.
    """
    # Some file systems do not distinguish capital and small letters.
    counts = Counter(session.id.casefold() for session in sessions)
    found = []
    for session in sessions:
        split = split_file_name(session.split)
        above = out / split if counts[session.id.casefold()] > 1 else out
        found.append((session, above / session.id))
    return found


def _score_once(
    session: Session,
    folder: Path,
    *,
    estimator: Estimator,
    score: Callable[[Sequence[Session]], list[dict[str, ParticipantScores]]],
    mark: str,
) -> list[tuple[str, ...]]:
    """Scores a session and writes its files, unless they are already there.

    Returns:
      The rows of the session in the table.
    """
    targets = [person.role for person in session.participants if person.is_target]
    if not targets:
        return [(session.id, "nobody", ABSENT, ABSENT, "only partners")]
    if is_written(folder, targets):
        return [(session.id, "all", ABSENT, ABSENT, "already there")]
    _warn_of_unlike(estimator, session)
    (scores,) = score([session])
    write_session(folder, scores, session=session.id, mark=mark)
    return [_row(session.id, one) for one in scores.values()]


def _warn_of_unlike(estimator: Estimator, session: Session) -> None:
    """Warns in the log if features of a recording differ from the training data."""
    data = estimator.config.data
    lines = describe_unlike(
        session, data.features, estimator.statistics, data.cache_dir
    )
    for line in lines:
        _log.warning("%s.", line)


def _read_as(estimator: Estimator, layout: DataConfig) -> Estimator:
    """Makes a model read its features by another configuration's layout and tables."""
    given = {feature.name: feature for feature in layout.features}
    own = estimator.config.data
    found: list[FeatureConfig] = []
    for feature in own.features:
        other = given.get(feature.name)
        if other is None or other.dim != feature.dim:
            got = f"{other.dim} columns" if other else f"only {', '.join(given)}"
            raise ConfigError(
                f"`--config`: expected the feature {feature.name} with {feature.dim} "
                f"columns, as the model was trained on, got {got}."
            )
        found.append(dataclasses.replace(other, group=feature.group))
    data = dataclasses.replace(own, layout=layout.layout, features=tuple(found))
    config = dataclasses.replace(estimator.config, data=data)
    return dataclasses.replace(estimator, config=config)


def _claim(out: Path, settings: Mapping[str, object]) -> None:
    """Records the settings of predictions in their folder, or compares them.

    Raises:
      WorkdirError: if the folder holds predictions of other settings, or other files.
    """
    path = out / RECORD
    if path.is_file():
        try:
            before = read_json(path)["settings"]
        except (ValueError, KeyError, TypeError):
            before = None
        if before != settings:
            raise WorkdirError(
                f"`--out`: {out} holds predictions of other models, recordings or "
                "settings, which are never overwritten. Choose a new folder."
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise WorkdirError(
            f"`--out`: expected a new or empty folder, got {out} with other files."
        )
    write_json(path, {"settings": settings, "version": damamba_jax.__version__})


def _row(session: str, one: ParticipantScores) -> tuple[str, ...]:
    seconds = f"{len(one.score) / one.rate:.1f}"
    there = one.score[one.score == one.score]
    if not len(there):
        return (session, one.participant, seconds, ABSENT, "nothing to score")
    if one.classes:
        most, share = max(one.class_shares.items(), key=lambda item: item[1])
        share_text = f"{percent(share)} of the time"
        return (session, one.participant, seconds, most, share_text)
    ends = f"{there.min():.3f} to {there.max():.3f}"
    return (session, one.participant, seconds, f"{there.mean():.3f}", ends)


def _say_how_sure(estimators: Sequence[Estimator], console: Console) -> None:
    if estimators[0].config.data.classes:
        return  # The probabilities show it.
    bands = widest_bands([estimator.bands for estimator in estimators])
    lines = [
        f"{name}: {band}." for name, band in bands._asdict().items() if band is not None
    ]
    if not lines:
        lines = [
            "low and high are empty, because the model was scored on fewer than three "
            "sessions that it had not seen."
        ]
    for text in lines:
        console.print(text)
