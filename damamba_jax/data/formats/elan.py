"""ELAN annotations (`.eaf`): tiers of intervals with a text.

Times are milliseconds in a list of time slots. An annotation names two slots, or
another annotation whose slots it shares. Format: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

import logging
import os
from typing import NamedTuple
from xml.etree.ElementTree import Element

import defusedxml
import defusedxml.ElementTree

from damamba_jax.data.formats.headers import warn_once
from damamba_jax.errors import DataFormatError, format_error

MAX_BYTES = 1 << 26

_log = logging.getLogger(__name__)


class Interval(NamedTuple):
    """One annotation: its start and end in seconds, and its text."""

    start: float
    end: float
    text: str


def read_tiers(path: str | os.PathLike) -> dict[str, list[Interval]]:
    """Reads all tiers of an ELAN file, by name.

    Annotations whose slots have no time are left out, and a line in the log says so.

    Raises:
      DataFormatError: if the file is too large, is not well-formed XML, or refers to a
        slot or an annotation that does not exist.
    """
    size = os.path.getsize(path)
    if size > MAX_BYTES:
        raise format_error(path, "size", expected=f"up to {MAX_BYTES} bytes", got=size)
    try:
        root = defusedxml.ElementTree.parse(path, forbid_dtd=True).getroot()
    except (
        defusedxml.DefusedXmlException,
        defusedxml.ElementTree.ParseError,
        ValueError,
        LookupError,
    ) as error:
        raise format_error(
            path, "XML", expected="well-formed XML without entities", got=f"{error!r}"
        ) from error
    tag = "" if root is None else root.tag
    if root is None or tag != "ANNOTATION_DOCUMENT":
        raise format_error(
            path, "root", expected="<ANNOTATION_DOCUMENT>", got=f"<{tag}>"
        )
    slots = {
        slot.get("TIME_SLOT_ID", ""): _milliseconds(path, slot)
        for slot in root.iterfind("TIME_ORDER/TIME_SLOT")
    }
    spans = _spans(path, root, slots)
    tiers: dict[str, list[Interval]] = {}
    left_out = 0
    for tier in root.iterfind("TIER"):
        found = tiers.setdefault(tier.get("TIER_ID", ""), [])
        for element in tier.iterfind("ANNOTATION/*"):
            start, end = spans[element.get("ANNOTATION_ID", "")]
            if start is None or end is None:
                left_out += 1
                continue
            text = (element.findtext("ANNOTATION_VALUE") or "").strip()
            found.append(Interval(start, end, text))
    if left_out:
        text = f"{left_out} annotations have no time and are left out."
        warn_once(_log, f"{os.fspath(path)}: {text}")
    return tiers


_Span = tuple[float | None, float | None]


def _spans(
    path: str | os.PathLike, root: Element, slots: dict[str, float | None]
) -> dict[str, _Span]:
    """Returns start and end of each annotation by its id."""
    spans: dict[str, _Span] = {}
    parents: dict[str, str] = {}
    for element in root.iterfind("TIER/ANNOTATION/*"):
        name = element.get("ANNOTATION_ID", "")
        if element.tag == "REF_ANNOTATION":
            parents[name] = element.get("ANNOTATION_REF", "")
            continue
        ends = [element.get(f"TIME_SLOT_REF{i}", "") for i in (1, 2)]
        for slot in ends:
            if slot not in slots:
                raise _absent(path, f"TIME_SLOT {slot!r}", name)
        spans[name] = (slots[ends[0]], slots[ends[1]])
    for name in parents:
        seen, parent = {name}, parents[name]
        while parent in parents and parent not in seen:
            seen.add(parent)
            parent = parents[parent]
        if parent not in spans:
            raise _absent(path, f"annotation {parent!r}", name)
        spans[name] = spans[parent]
    return spans


def _milliseconds(path: str | os.PathLike, slot: Element) -> float | None:
    text = slot.get("TIME_VALUE")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise format_error(
            path, "TIME_VALUE", expected="milliseconds from 0 on", got=repr(text)
        )
    return int(text) / 1000


def _absent(path: str | os.PathLike, what: str, name: str) -> DataFormatError:
    return format_error(path, f"annotation {name}", expected=what, got="none")
