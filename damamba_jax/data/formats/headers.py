"""Common parts of SSI and NOVA files: XML headers, and numbers as Windows prints them.

Headers are untrusted: their size is bounded, document types and entities are refused,
and every error names the file, the field, what was expected and what was found.
"""

import codecs
import functools
import logging
import math
import os
import re
from xml.etree.ElementTree import Element

import defusedxml
import defusedxml.ElementTree

from damamba_jax.errors import DataFormatError, format_error

MAX_HEADER_BYTES = 1 << 18

# Annotations of several days fit into so many bytes in any form.
MAX_LABEL_BYTES = 1 << 26


# The format `%f` prints the largest double with 309 digits before the point and 6 after
# it.
MAX_NUMBER_CHARS = 340


_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


_NAN = re.compile(r"[+-]?(nan(\s*\(.*\))?|1\.#[a-z]+[0-9]*)", re.IGNORECASE | re.DOTALL)


# NaN as .NET writes it in some languages of Windows. In most others it writes
# "NaN (...)".
_NAN_WORDS = frozenset(
    (
        "n. def.", "non numérique", "neun", "non un numero reale", "nem szám",
        "nie jest liczbą", "není číslo", "nie je číslo", "epäluku", "ikke et tal",
        "μη αριθμός", "не число", "nečíslo", "非数字", "非數值", "不是一個數字",
    )
)  # fmt: skip


# A number with a decimal comma.
WITH_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)


_INF = re.compile(r"([+-]?)(inf(inity)?|1\.#inf[0-9]*)", re.IGNORECASE)


def parse_number(text: str) -> float:
    """Reads a number, in any spelling that a C runtime prints.

    NaN is `nan`, `-nan`, `nan(ind)`, `-nan(ind)`, `1.#IND00`, `-1.#IND00`,
    `1.#QNAN0`, or the word of .NET in another language, such as `n. def.`. Infinity is
    `inf` or `1.#INF00`. `Numbers` reads decimal commas too.

    Raises:
      ValueError: if the text is not a number.
    """
    text = text.strip()
    if len(text) <= MAX_NUMBER_CHARS:
        if _NUMBER.fullmatch(text):
            return float(text)
        if match := _INF.fullmatch(text):
            return -math.inf if match[1] == "-" else math.inf
        if _NAN.fullmatch(text) or text.lower() in _NAN_WORDS:
            return math.nan
    raise ValueError(f"not a number: {text[:40]!r}")


class MixedDecimalsError(ValueError):
    """An error: a file has numbers with a decimal point and others with a comma."""


class Numbers:
    """Reads the numbers of one file, which all have the same decimal sign.

    Windows prints decimal commas in German, French and other languages.
    """

    def __init__(self) -> None:
        self._sign = ""

    def __call__(self, text: str) -> float:
        """Reads a number as `parse_number` does, or one with a decimal comma.

        Raises:
          MixedDecimalsError: if earlier numbers have the other sign.
          ValueError: if the text is not a number.
        """
        text = text.strip()
        comma = WITH_COMMA.fullmatch(text) is not None
        if comma or ("." in text and _NUMBER.fullmatch(text)):
            self.see("," if comma else ".", text)
        return parse_number(text.replace(",", ".") if comma else text)

    def see(self, sign: str, text: str) -> None:
        """Notes the decimal sign of a text with numbers.

        Raises:
          MixedDecimalsError: if earlier numbers have the other sign.
        """
        if self._sign not in ("", sign):
            raise MixedDecimalsError(
                f"the decimal sign {sign!r} in {text[:40]!r} after numbers with "
                f"{self._sign!r}"
            )
        self._sign = sign


def number_or_none(text: str) -> float | None:
    """Reads one number as `Numbers` does; a text that is not a number gives `None`."""
    try:
        return Numbers()(text)
    except ValueError:
        return None


def decode_text(raw: bytes) -> str:
    """Decodes UTF-8, with or without a byte order mark; other bytes are Latin-1."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def read_bounded(path: str | os.PathLike, limit: int = MAX_LABEL_BYTES) -> bytes:
    """Reads a whole file, if it is not too large.

    Raises:
      DataFormatError: if the file is larger than `limit` bytes.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise format_error(
                path, "size", expected=f"up to {limit} bytes", got=f"{size}"
            )
        return file.read(limit)


@functools.lru_cache(maxsize=4096)
def warn_once(logger: logging.Logger, message: str) -> None:
    """Logs a warning once in this process, however often it comes up."""
    logger.warning("%s", message)


def read_xml(path: str | os.PathLike, root: str) -> "Fields":
    """Parses a header whose root element is `root`.

    Raises:
      DataFormatError: if the header is larger than `MAX_HEADER_BYTES`, is not
        well-formed, holds a document type or entities, or has another root or an
        `ssi-v` below 2.
    """
    with open(path, "rb") as file:
        raw = file.read(MAX_HEADER_BYTES + 1)
    if len(raw) > MAX_HEADER_BYTES:
        raise format_error(
            path,
            "header",
            expected=f"at most {MAX_HEADER_BYTES} bytes",
            got=f"{os.path.getsize(path)}",
        )
    try:
        # A string is parsed, so that the encoding that the file declares has no effect.
        element = defusedxml.ElementTree.fromstring(
            decode_text(raw).strip(), forbid_dtd=True
        )
    except defusedxml.DefusedXmlException as error:
        raise format_error(
            path,
            "header",
            expected="XML without document type and entities",
            got=type(error).__name__,
        ) from error
    except (defusedxml.ElementTree.ParseError, ValueError) as error:
        raise format_error(
            path, "header", expected="well-formed XML", got=f"{error}"
        ) from error
    if element.tag != root:
        raise format_error(path, "root", expected=f"<{root}>", got=f"<{element.tag}>")
    fields = Fields(path, element)
    fields.number("ssi-v", low=2.0, high=1000.0)
    return fields


class Fields:
    """Attributes and children of one XML element; errors name file and field."""

    def __init__(self, path: str | os.PathLike, element: Element):
        self.path = path
        self.element = element

    def child(self, tag: str) -> "Fields | None":
        """Returns the first child of this name, or `None` if there is none."""
        found = self.element.find(tag)
        return None if found is None else Fields(self.path, found)

    def children(self, tag: str) -> list["Fields"]:
        """Returns all children of this name."""
        return [Fields(self.path, found) for found in self.element.findall(tag)]

    def error(self, key: str, *, expected: str, got: object) -> DataFormatError:
        """Builds the error for one attribute."""
        return format_error(
            self.path, f"{self.element.tag}.{key}", expected=expected, got=got
        )

    def text(self, key: str, default: str | None = None) -> str:
        """Returns the attribute `key`, which is required unless there is a default.

        Raises:
          DataFormatError: if a required attribute is missing.
        """
        value = self.element.get(key, default)
        if value is None:
            raise self.error(key, expected="a value", got="nothing")
        return value

    def number(
        self, key: str, *, low: float, high: float, default: float | None = None
    ) -> float:
        """Returns the attribute `key` as a finite number in `[low, high]`.

        Raises:
          DataFormatError: if the attribute is missing and has no default, or is not
            such a number.
        """
        if default is not None and key not in self.element.keys():
            return default
        text = self.text(key)
        try:
            value = Numbers()(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise self.error(
                key, expected=f"a number in [{low:g}, {high:g}]", got=repr(text)
            )
        return value

    def integer(self, key: str, *, low: int, high: int) -> int:
        """Returns the attribute `key` as an integer in `[low, high]`.

        Raises:
          DataFormatError: if the attribute is missing or not such an integer.
        """
        text = self.text(key).strip()
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise self.error(
                key, expected=f"an integer in [{low}, {high}]", got=repr(text)
            )
        return int(text)
