"""Labels of NOVA annotations, as lines and as packed records.

A row is `(score, confidence)` for CONTINUOUS, `(start, stop, id, confidence)` for
DISCRETE and `(start, stop, text, confidence)` for FREE. All times are seconds.
"""

import os
import struct
from collections.abc import Iterable, Sequence

import numpy as np

from damamba_jax.data.formats.headers import Numbers, decode_text, parse_number
from damamba_jax.errors import format_error

CONTINUOUS = np.dtype([("score", "<f4"), ("confidence", "<f4")])
DISCRETE = np.dtype(
    [("start", "<f8"), ("stop", "<f8"), ("id", "<i4"), ("confidence", "<f4")]
)
_FREE_TIMES = struct.Struct("<ddI")


def parse_lines(path: str | os.PathLike, raw: bytes, kind: str) -> list[tuple]:
    """Parses the lines of an ASCII annotation of one kind of scheme.

    Raises:
      DataFormatError: for a line that is not of that kind.
    """
    parse = _LINE_PARSERS[kind]
    lines = decode_text(raw).replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    # A blank line is a frame without a score, but it is not a segment.
    while kind != "CONTINUOUS" and lines and not lines[-1].strip():
        lines.pop()
    rows, numbers = [], Numbers()
    for i, line in enumerate(lines):
        try:
            rows.append(parse(line.strip("\r").split(";"), numbers))
        except (ValueError, IndexError, OverflowError) as error:
            raise format_error(
                f"{os.fspath(path)}~",
                f"line {i + 1}",
                expected="from;to;label;confidence, or score;confidence",
                got=f"{line[:60]!r} ({error})",
            ) from error
    return rows


def _seconds(text: str, numbers: Numbers) -> float:
    value = numbers(text)
    if not np.isfinite(value):
        raise ValueError("a time must be finite")
    return value


def _parse_score(fields: list[str], numbers: Numbers) -> tuple:
    if fields == [""] or not fields[0].strip():
        return (np.nan, 0.0)
    return (numbers(fields[0]), numbers(fields[1]) if len(fields) > 1 else 1.0)


def _parse_class(fields: list[str], numbers: Numbers) -> tuple:
    times = (_seconds(fields[0], numbers), _seconds(fields[1], numbers))
    number = parse_number(fields[2])
    if not number.is_integer() or not -(2**31) <= number < 2**31:
        raise ValueError("an id must be an integer of 32 bits")
    return (*times, int(number), numbers(fields[3]) if len(fields) > 3 else 1.0)


def _parse_text(fields: list[str], numbers: Numbers) -> tuple:
    times = (_seconds(fields[0], numbers), _seconds(fields[1], numbers))
    return (*times, fields[2], numbers(fields[3]) if len(fields) > 3 else 1.0)


_LINE_PARSERS = {
    "CONTINUOUS": _parse_score,
    "DISCRETE": _parse_class,
    "FREE": _parse_text,
}


def parse_records(
    path: str | os.PathLike, raw: bytes, record: np.dtype, size: int | None
) -> np.ndarray:
    """Views the bytes of a BINARY annotation as records.

    Raises:
      DataFormatError: if the bytes are not a whole number of records.
    """
    if len(raw) % record.itemsize:
        hint = ""
        if size and len(raw) == 16 * size:
            hint = " (discover-utils writes 16 bytes for each label, with times in "
            hint += "milliseconds; save the annotation as ASCII)"
        raise format_error(
            f"{os.fspath(path)}~",
            "size",
            expected=f"whole labels of {record.itemsize} bytes{hint}",
            got=f"{len(raw)} bytes",
        )
    return np.frombuffer(raw, record)


def parse_texts(path: str | os.PathLike, raw: bytes, size: int | None) -> list[tuple]:
    """Parses text segments; a length counts bytes, or characters if NOVA wrote it.

    Raises:
      DataFormatError: if the bytes are no segments.
    """
    problem = "nothing"
    # The last try accepts confidences outside of [0, 1].
    for in_characters, plausible in ((False, True), (True, True), (False, False)):
        try:
            return _split_free(raw, size, in_characters, plausible)
        except (ValueError, struct.error) as error:
            problem = f"{error}"
    raise format_error(
        f"{os.fspath(path)}~",
        "label",
        expected="f8 from, f8 to, u4 length, text of that length, f4 confidence",
        got=problem,
    )


def _split_free(
    raw: bytes, size: int | None, in_characters: bool, plausible: bool
) -> list[tuple]:
    rows, at = [], 0
    while at < len(raw) and (size is None or len(rows) < size):
        start, stop, length = _FREE_TIMES.unpack_from(raw, at)
        at += _FREE_TIMES.size
        if length > len(raw) - at:
            raise ValueError(f"length {length}, with {len(raw) - at} bytes left")
        end = at + length
        if in_characters:
            # Four bytes hold one character at most.
            some = raw[at : at + 4 * length].decode("utf-8", errors="replace")
            end = at + len(some[:length].encode("utf-8"))
        label = raw[at:end].decode("utf-8")
        (confidence,) = struct.unpack_from("<f", raw, end)
        if not (np.isfinite(start) and np.isfinite(stop)):
            raise ValueError(f"from {start}, to {stop}")
        if plausible and not 0 <= confidence <= 1:
            raise ValueError(f"confidence {confidence}")
        rows.append((start, stop, label, confidence))
        at = end + 4
    return rows


def encode_lines(columns: Sequence[Iterable]) -> bytes:
    """Writes one line per row; numbers keep every digit.

    Raises:
      ValueError: if a text contains `;` or a line end, which separate fields and lines.
    """
    lines = []
    for row in zip(*columns, strict=True):
        fields = [v if isinstance(v, str) else f"{v!r}" for v in row]
        if any(set(field) & set(";\r\n") for field in fields):
            raise ValueError(
                f"`label`: expected text without ';' and line ends, got {fields!r}; "
                "write it with ftype='BINARY'."
            )
        lines.append(";".join(fields) + "\n")
    return "".join(lines).encode()


def encode_records(columns: Sequence[np.ndarray], record: np.dtype) -> bytes:
    """Packs numeric columns into records."""
    records = np.empty(len(columns[0]), record)
    for name, column in zip(record.names or (), columns, strict=True):
        records[name] = column
    return records.tobytes()


def encode_texts(columns: Sequence[Iterable]) -> bytes:
    """Packs text segments; the length counts bytes."""
    parts = []
    for start, stop, label, confidence in zip(*columns, strict=True):
        text = label.encode()
        parts.append(_FREE_TIMES.pack(start, stop, len(text)))
        parts.append(text + struct.pack("<f", confidence))
    return b"".join(parts)
