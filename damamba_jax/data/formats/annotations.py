"""NOVA annotations: an XML header `X.annotation` and its labels in `X.annotation~`.

| scheme     | one label, ASCII                      | one label, BINARY (packed)   |
|------------|---------------------------------------|------------------------------|
| CONTINUOUS | `score;confidence`, line i is frame i | f4, f4                       |
| DISCRETE   | `from;to;id;confidence[;meta]`        | f8, f8, i4, f4               |
| FREE       | `from;to;label;confidence[;meta]`     | f8, f8, u4 length, bytes, f4 |

Times are seconds, and the id -1 means none of the classes. At most `size` labels are
read. A template has no `info` or has `size="0"`, and it has no data file. Frames that
nobody annotated are NaN. The label files of the challenge have another format, which
`ssi.read_labels` reads.
"""

import dataclasses
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias
from xml.etree import ElementTree

import numpy as np

from damamba_jax.array_types import Float, Int
from damamba_jax.data.formats import annotation_rows
from damamba_jax.data.formats.annotation_rows import CONTINUOUS, DISCRETE
from damamba_jax.data.formats.headers import Fields, read_bounded, read_xml, warn_once
from damamba_jax.errors import format_error
from damamba_jax.files import replace_file

_log = logging.getLogger(__name__)

_MAX_SIZE = 2**31 - 1
_RECORDS = {"CONTINUOUS": CONTINUOUS, "DISCRETE": DISCRETE}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ContinuousAnnotation:
    """One score per frame.

    Args:
      name: the name of the scheme.
      sample_rate: frames per second, Hz.
      minimum, maximum: range that the scheme allows.
      score: the score of each frame; NaN where nothing was annotated.
      confidence: the confidence of each score.
      meta: the metadata of the header, such as annotator and role.
    """

    name: str
    sample_rate: float
    minimum: float
    maximum: float
    score: Float[np.ndarray, "T"]
    confidence: Float[np.ndarray, "T"]
    meta: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class DiscreteAnnotation:
    """Segments with one of the scheme's classes.

    Args:
      name: the name of the scheme.
      classes: names of the classes by id.
      start, stop: start and end of each segment, s.
      id: the id of the class; -1 means none of them.
      confidence: the confidence of each segment.
      meta: the metadata of the header.
    """

    name: str
    classes: Mapping[int, str]
    start: Float[np.ndarray, "T"]
    stop: Float[np.ndarray, "T"]
    id: Int[np.ndarray, "T"]
    confidence: Float[np.ndarray, "T"]
    meta: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FreeAnnotation:
    """Segments with free text.

    Args:
      name: the name of the scheme.
      start, stop: start and end of each segment, s.
      label: text of each segment.
      confidence: the confidence of each segment.
      meta: the metadata of the header.
    """

    name: str
    start: Float[np.ndarray, "T"]
    stop: Float[np.ndarray, "T"]
    label: tuple[str, ...]
    confidence: Float[np.ndarray, "T"]
    meta: Mapping[str, str] = dataclasses.field(default_factory=dict)


Annotation: TypeAlias = ContinuousAnnotation | DiscreteAnnotation | FreeAnnotation


def read_annotation(path: str | os.PathLike) -> Annotation:
    """Reads a NOVA annotation of any of the three schemes, ASCII or BINARY.

    Raises:
      DataFormatError: for a malformed header or label, another scheme, or a missing
        data file.
    """
    root = read_xml(path, "annotation")
    scheme = root.child("scheme")
    if scheme is None:
        raise root.error("scheme", expected="one element", got="none")
    kind = scheme.text("type").strip().upper()
    if kind not in ("CONTINUOUS", "DISCRETE", "FREE"):
        raise scheme.error(
            "type", expected="CONTINUOUS, DISCRETE or FREE", got=repr(kind)
        )
    ftype, size = _info(root)
    raw = _read_data(Path(path), size)
    if ftype == "ASCII":
        rows = annotation_rows.parse_lines(path, raw, kind)
    elif kind == "FREE":
        rows = annotation_rows.parse_texts(path, raw, size)
    else:
        rows = annotation_rows.parse_records(path, raw, _RECORDS[kind], size)
    if size is not None and len(rows) != size:
        warn_once(
            _log,
            f"{os.fspath(path)}: the header claims size={size} labels, but the data "
            f"file holds {len(rows)}; {min(size, len(rows))} of them are read.",
        )
    meta = root.child("meta")
    shared = {
        "name": scheme.text("name", ""),
        "meta": {} if meta is None else dict(meta.element.attrib),
    }
    return _BUILDERS[kind](scheme, rows[:size], shared)


def write_annotation(
    path: str | os.PathLike,
    annotation: Annotation,
    *,
    ftype: Literal["ASCII", "BINARY"] = "ASCII",
) -> None:
    """Writes an annotation in a form that NOVA and SSI can read.

    If there are no labels, only the header is written.

    Raises:
      ValueError: for an unknown `ftype`, or text that an ASCII line cannot hold.
    """
    if ftype not in ("ASCII", "BINARY"):
        raise ValueError(f"`ftype`: expected 'ASCII' or 'BINARY', got {ftype!r}.")
    path = Path(path)
    data = _encode_rows(annotation, ftype)
    if len(annotation.confidence):
        with replace_file(path.with_name(path.name + "~")) as file:
            file.write(data)
    with replace_file(path) as file:
        file.write(_encode_header(annotation, ftype))


def _info(root: Fields) -> tuple[str, int | None]:
    """Reads `(ftype, size)`; the size is `None` if the header does not give it."""
    info = root.child("info")
    if info is None:
        return "ASCII", 0
    ftype = info.text("ftype", "ASCII").strip().upper()
    if ftype not in ("ASCII", "BINARY"):
        raise info.error("ftype", expected="ASCII or BINARY", got=repr(ftype))
    if "size" not in info.element.keys():
        return ftype, None
    return ftype, info.integer("size", low=0, high=_MAX_SIZE)


def _read_data(path: Path, size: int | None) -> bytes:
    data_path = path.with_name(path.name + "~")
    if size == 0:
        return b""
    if not data_path.is_file():
        raise format_error(path, "data", expected=f"labels in {data_path}", got="none")
    return read_bounded(data_path)


def _build_continuous(
    scheme: Fields, rows: np.ndarray | list, shared: dict
) -> ContinuousAnnotation:
    records = _records(rows, CONTINUOUS)
    return ContinuousAnnotation(
        sample_rate=scheme.number("sr", low=1e-6, high=1e6),
        minimum=scheme.number("min", low=-1e30, high=1e30),
        maximum=scheme.number("max", low=-1e30, high=1e30),
        score=records["score"].copy(),
        confidence=records["confidence"].copy(),
        **shared,
    )


def _build_discrete(
    scheme: Fields, rows: np.ndarray | list, shared: dict
) -> DiscreteAnnotation:
    records = _records(rows, DISCRETE)
    if not (np.isfinite(records["start"]) & np.isfinite(records["stop"])).all():
        raise format_error(
            f"{os.fspath(scheme.path)}~", "from, to", expected="finite times", got="NaN"
        )
    classes = {
        item.integer("id", low=-(2**31), high=2**31 - 1): item.text("name", "")
        for item in scheme.children("item")
    }
    columns = {name: records[name].copy() for name in DISCRETE.names or ()}
    return DiscreteAnnotation(classes=classes, **columns, **shared)


def _build_free(scheme: Fields, rows: list, shared: dict) -> FreeAnnotation:
    start, stop, label, confidence = zip(*rows, strict=True) if rows else ((),) * 4
    with np.errstate(over="ignore"):
        return FreeAnnotation(
            start=np.array(start, np.float64),
            stop=np.array(stop, np.float64),
            label=tuple(label),
            confidence=np.array(confidence, np.float64).astype(np.float32),
            **shared,
        )


_BUILDERS = {
    "CONTINUOUS": _build_continuous,
    "DISCRETE": _build_discrete,
    "FREE": _build_free,
}


def _records(rows: np.ndarray | list, record: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        return rows if isinstance(rows, np.ndarray) else np.array(rows, record)


def _encode_header(annotation: Annotation, ftype: str) -> bytes:
    root = ElementTree.Element("annotation", {"ssi-v": "3"})
    size = str(len(annotation.confidence))
    ElementTree.SubElement(root, "info", {"ftype": ftype, "size": size})
    ElementTree.SubElement(root, "meta", dict(annotation.meta))
    scheme = ElementTree.SubElement(root, "scheme", {"name": annotation.name})
    match annotation:
        case ContinuousAnnotation():
            scheme.set("type", "CONTINUOUS")
            scheme.set("sr", repr(float(annotation.sample_rate)))
            scheme.set("min", repr(float(annotation.minimum)))
            scheme.set("max", repr(float(annotation.maximum)))
        case DiscreteAnnotation():
            scheme.set("type", "DISCRETE")
            for number, name in annotation.classes.items():
                ElementTree.SubElement(
                    scheme, "item", {"name": name, "id": str(number)}
                )
        case FreeAnnotation():
            scheme.set("type", "FREE")
    ElementTree.indent(root, "    ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" ?>\n{text}\n'.encode()


def _encode_rows(annotation: Annotation, ftype: str) -> bytes:
    columns: tuple[Any, ...]
    match annotation:
        case ContinuousAnnotation():
            columns = (annotation.score, annotation.confidence)
        case DiscreteAnnotation(start=start, stop=stop):
            columns = (start, stop, annotation.id, annotation.confidence)
        case FreeAnnotation(start=start, stop=stop):
            columns = (start, stop, annotation.label, annotation.confidence)
    plain = [c.tolist() if isinstance(c, np.ndarray) else c for c in columns]
    if ftype == "ASCII":
        return annotation_rows.encode_lines(plain)
    if isinstance(annotation, FreeAnnotation):
        return annotation_rows.encode_texts(plain)
    record = CONTINUOUS if isinstance(annotation, ContinuousAnnotation) else DISCRETE
    return annotation_rows.encode_records(columns, record)
