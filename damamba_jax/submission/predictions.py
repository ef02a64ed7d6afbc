"""Predictions of people, from folders of evaluations and from plain files.

An evaluation keeps its predictions in `traces/`. Any other folder may hold files
`SPLIT/SESSION/ROLE.*.csv`, where SPLIT is the name of the split in the corpus or in an
archive.
"""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from damamba_jax.data.corpus import patterns
from damamba_jax.data.formats import ssi
from damamba_jax.data.formats.headers import decode_text, read_bounded, warn_once
from damamba_jax.errors import CorpusError, format_error
from damamba_jax.files import split_file_name
from damamba_jax.metrics.challenge import Part
from damamba_jax.metrics.trace import Trace, to_unit
from damamba_jax.runs.traces import read_traces
from damamba_jax.runs.workdir import PREDICTIONS, TRACES
from damamba_jax.schema.release import (
    ANNOTATIONS,
    annotation_of,
    official_numbers,
)
from damamba_jax.submission.profiles import TestSet

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """The prediction for one person over a session.

    Args:
      part: the test set and the annotation.
      session, role: name of the session, and role of the person in it.
      values: values within [0, 1], or numbers of classes; NaN where there is no
        prediction.
      source: folder or file that the prediction was read from.
      trace: trace with the annotation, if an evaluation wrote it.
    """

    part: Part
    session: str
    role: str
    values: Float[np.ndarray, "T"]
    source: Path
    trace: Trace | None = None

    @property
    def person(self) -> tuple[Part, str, str]:
        """The test set and annotation, the session and the role."""
        return self.part, self.session, self.role


def read_predictions(folder: Path, sets: Sequence[TestSet]) -> list[Prediction]:
    """Reads the predictions of some test sets from a folder.

    Args:
      folder: folder of an evaluation, or of plain files.
      sets: the test sets.

    Raises:
      CorpusError: if the folder holds no predictions of these sets.
      DataFormatError: for a file that does not hold predictions.
    """
    traced = (folder / TRACES).is_dir()
    read = _from_traces if traced else _from_files
    found = [prediction for one in sets for prediction in read(folder, one)]
    if not found:
        wanted = ", ".join(one.split for one in sets)
        raise CorpusError(
            f"`--workdir`: expected predictions of {wanted} in {folder}, found none. "
            "Name the workdir of a run, the folder of an evaluation, or a folder with "
            "SPLIT/SESSION/ROLE.*.csv."
        )
    return found


def join_predictions(found: Sequence[Prediction]) -> list[Prediction]:
    """Joins predictions, and checks that no person is predicted twice.

    Raises:
      CorpusError: if a person is predicted twice; the message names both places.
    """
    by_person: dict[tuple[Part, str, str], Prediction] = {}
    for prediction in found:
        other = by_person.setdefault(prediction.person, prediction)
        if other is not prediction:
            part, session, role = prediction.person
            raise CorpusError(
                f"`--workdir`: expected one prediction of {part.annotation} for "
                f"{part.split}/{session} {role}, got those of {other.source} and "
                f"{prediction.source}."
            )
    return list(by_person.values())


def _from_traces(folder: Path, test_set: TestSet) -> Iterator[Prediction]:
    if not (folder / TRACES / f"{split_file_name(test_set.split)}.npz").is_file():
        return
    for trace in read_traces(folder, test_set.split):
        annotation = annotation_of(trace.classes)
        if annotation not in test_set.annotations:
            raise CorpusError(
                f"`--workdir`: expected predictions of "
                f"{' or '.join(test_set.annotations)} for {test_set.split}, got "
                f"{','.join(trace.classes) or 'values'} in {folder}."
            )
        yield Prediction(
            part=Part(test_set.split, annotation),
            session=trace.session,
            role=trace.role,
            values=_official_values(trace),
            source=folder,
            trace=trace,
        )


def _official_values(trace: Trace) -> Float[np.ndarray, "T"]:
    """Returns values within [0, 1], or the official numbers of classes."""
    if not trace.classes:
        return to_unit(trace.prediction, trace.label_range)
    numbers = official_numbers(trace.classes)
    values = np.full(len(trace.prediction), np.nan)
    known = np.isfinite(trace.prediction)
    values[known] = np.take(numbers, trace.prediction[known].astype(int))
    return values


def _from_files(folder: Path, test_set: TestSet) -> Iterator[Prediction]:
    problems: list[str] = []
    for top in (folder, folder / PREDICTIONS):
        for name in dict.fromkeys((test_set.split, test_set.folder)):
            for match in patterns.find(
                top.resolve(),
                f"{name}/{{session}}/{{role}}.{{stem}}.csv",
                known={"role": test_set.roles},
                problems=problems,
            ):
                annotation, values = _read_values(match.path, test_set.annotations)
                yield Prediction(
                    part=Part(test_set.split, annotation),
                    session=match.fields["session"],
                    role=match.fields["role"],
                    values=values,
                    source=match.path,
                )
    for problem in problems:
        warn_once(_log, problem)


def _read_values(
    path: Path, annotations: Sequence[str]
) -> tuple[str, Float[np.ndarray, "T"]]:
    """Reads values, or classes; the classes show which annotation they belong to."""
    if annotations == ("engagement",):
        return annotations[0], ssi.read_labels(path)
    lines = [line.strip() for line in decode_text(read_bounded(path)).splitlines()]
    for annotation in annotations:
        numbers = {name: i for i, name in enumerate(ANNOTATIONS[annotation])}
        if numbers.keys() >= {line for line in lines if line}:
            values = [numbers.get(line, np.nan) for line in lines]
            return annotation, np.array(values, np.float64)
    raise format_error(
        path,
        "lines",
        expected=" or ".join(f"classes of {name}" for name in annotations),
        got=repr(next((line for line in lines if line), "")),
    )
