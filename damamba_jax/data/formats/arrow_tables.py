"""Tables that pyarrow reads: delimited text and parquet.

If pyarrow cannot read a column as numbers, the column is read as text and converted
here, so that blanks, booleans and decimal commas mean the same in every file.
"""

import codecs
import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from damamba_jax.data.formats.headers import (
    WITH_COMMA,
    number_or_none,
    parse_number,
)
from damamba_jax.data.formats.tables import (
    HEAD_BYTES,
    Block,
    TextOptions,
    Texts,
    check_columns,
    unique_names,
)
from damamba_jax.errors import format_error

# Pyarrow makes these functions when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

_BLOCK_BYTES = 4 << 20
_PARQUET_ROWS = 1 << 14
_HEAD_LINES = 200
_DELIMITERS = ("\t", ";", ",", "|")
# Texts that programs write if they have no value, in lower case.
_BLANKS = pa.array(
    ["", "nan", "na", "n/a", "#n/a", "null", "none", "-", "--", "?", "missing"]
)
# The same texts in lower and upper case, and in the other forms that programs write.
_NULLS = sorted(
    {
        word
        for text in _BLANKS.to_pylist()
        for word in (text, text.upper(), text.title())
    }
    | {"NaN", "N/a"}
)


class CsvTable:
    """Columns of delimited text, named by its first line; see `tables.Table`.

    If the first line holds numbers alone, columns are called `0`, `1`, ...
    """

    def __init__(self, path: Path, options: TextOptions):
        self.path = path
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
        self._encoding = options.encoding or _encoding(head)
        try:
            text = head.decode(self._encoding, errors="ignore").removeprefix("\ufeff")
        except LookupError as error:
            raise format_error(
                path, "encoding", expected="one that Python knows", got=f"{error}"
            ) from error
        lines = text.splitlines()
        if not lines or not lines[0].strip():
            raise format_error(path, "line 1", expected="names of columns", got="none")
        self._delimiter = options.delimiter or _delimiter(lines[0])
        if len(head) == HEAD_BYTES and len(lines) > 1:
            del lines[-1]  # The last line may be cut.
        some = [self._split(line) for line in lines[:_HEAD_LINES]]
        self._named = any(number_or_none(name) is None for name in some[0])
        self._is_empty = len(lines) == self._named
        names = some[0] if self._named else map(str, range(len(some[0])))
        self.names = unique_names([*names])
        self._decimal = options.decimal or self._find_decimal(some)

    def blocks(
        self, numbers: Sequence[str], texts: Sequence[str] = ()
    ) -> Iterator[Block]:
        """Yields the rows of some columns; see `tables.Table`."""
        check_columns(self, [*numbers, *texts])
        if self._is_empty:
            return
        done = 0
        if not set(numbers) & set(texts):
            # It is twice as fast to let pyarrow convert the numbers. From the first
            # text on that it cannot convert, such as `true`, the rest is read as text
            # and converted here, where a fault is named.
            try:
                for batch in self._batches(numbers, texts, pa.float64()):
                    block = _block(self.path, batch, numbers, texts, self._decimal)
                    done += batch.num_rows
                    yield block
                return
            except (pa.ArrowException, UnicodeError, OSError):
                pass  # If this is a fault, reading the text below raises an error.
        with _arrow_errors(self.path):
            for batch in self._batches(numbers, texts, pa.string()):
                skipped = min(done, batch.num_rows)
                done -= skipped
                rest = batch.slice(skipped)
                if rest.num_rows:
                    yield _block(self.path, rest, numbers, texts, self._decimal)

    def _batches(
        self, numbers: Sequence[str], texts: Sequence[str], kind: pa.DataType
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows of some columns; pyarrow reads numbers as the type `kind`."""
        # If no column were read, pyarrow would not count the rows.
        wanted = list(dict.fromkeys([*numbers, *texts])) or [self.names[0]]
        types = {name: kind if name in numbers else pa.string() for name in wanted}
        with (
            _opened(self.path) as source,
            pyarrow.csv.open_csv(
                source,
                read_options=pyarrow.csv.ReadOptions(
                    column_names=list(self.names),
                    skip_rows=int(self._named),
                    block_size=_BLOCK_BYTES,
                    encoding=self._encoding,
                ),
                parse_options=pyarrow.csv.ParseOptions(delimiter=self._delimiter),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=types,
                    null_values=_NULLS,
                    decimal_point=self._decimal,
                ),
            ) as reader,
        ):
            yield from reader

    def _split(self, line: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=self._delimiter), [])
        except (csv.Error, TypeError) as error:
            raise format_error(
                self.path, "delimiter", expected="one character", got=f"{error}"
            ) from error

    def _find_decimal(self, rows: Sequence[Sequence[str]]) -> str:
        fields = (field.strip() for row in rows for field in row)
        return "," if any(map(WITH_COMMA.fullmatch, fields)) else "."


class ParquetTable:
    """Columns of a parquet file; see `tables.Table`."""

    def __init__(self, path: Path):
        self.path = path
        with _arrow_errors(path):
            self._file = pyarrow.parquet.ParquetFile(_source(path))
            names = tuple(self._file.schema_arrow.names)
        if len(set(names)) < len(names) or not names:
            raise format_error(
                path, "schema", expected="columns of different names", got=f"{names}"
            )
        self.names = names

    def blocks(
        self, numbers: Sequence[str], texts: Sequence[str] = ()
    ) -> Iterator[Block]:
        """Yields the rows of some columns; see `tables.Table`."""
        check_columns(self, [*numbers, *texts])
        wanted = list(dict.fromkeys([*numbers, *texts]))
        with _arrow_errors(self.path):
            for batch in self._file.iter_batches(_PARQUET_ROWS, columns=wanted):
                yield _block(self.path, batch, numbers, texts, ".")


def _source(path: Path) -> Any:
    """Returns the path, or an open file if pyarrow could not encode the path."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return pa.PythonFile(open(path, "rb"))
    return path


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    source = _source(path)
    try:
        yield source
    finally:
        if source is not path:
            source.close()


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeError) as error:
        raise format_error(
            path, "rows", expected="a table that can be read", got=f"{error}"
        ) from error
    except OSError as error:
        # Pyarrow raises this, without a number, for bytes that it cannot decode, too.
        if error.errno is not None:
            raise
        raise format_error(
            path, "rows", expected="a table that can be read", got=f"{error}"
        ) from error


def _delimiter(line: str) -> str:
    """Returns the most frequent separator; a space if there is no other."""
    found = max(_DELIMITERS, key=line.count)
    return found if found in line else " "


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _block(
    path: Path,
    batch: pa.RecordBatch,
    numbers: Sequence[str],
    texts: Sequence[str],
    decimal: str,
) -> Block:
    columns = [_floats(path, name, batch.column(name), decimal) for name in numbers]
    return Block(
        np.stack(columns, axis=1) if columns else np.zeros((batch.num_rows, 0)),
        tuple(_texts(batch.column(name)) for name in texts),
    )


def _texts(column: pa.Array) -> Texts:
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column, null_encoding="encode")
    codes = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
    values = ["" if v is None else v for v in column.dictionary.to_pylist()]
    # A whole number is written without a decimal point, as people write it.
    spelled = [f"{v:g}" if isinstance(v, float) else str(v).strip() for v in values]
    return Texts(codes.astype(np.int64), spelled)


def _floats(path: Path, name: str, column: pa.Array, decimal: str) -> np.ndarray:
    """Converts a column to numbers; a blank entry becomes NaN."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = _parse(path, name, column, decimal)
    elif pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        moments = column.cast(_microseconds(kind))
        column = pc.divide(moments.cast(pa.int64()).cast(pa.float64()), 1e6)
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind)):
        raise format_error(path, name, expected="a column of numbers", got=f"{kind}")
    floats = column.cast(pa.float64(), safe=False)
    return floats.fill_null(np.nan).to_numpy(zero_copy_only=False)


def _microseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.duration("us")


def _parse(path: Path, name: str, column: pa.Array, decimal: str) -> pa.Array:
    """Converts text to numbers, all of which have the decimal sign of the file."""
    text = pc.utf8_trim_whitespace(column)
    lower = pc.utf8_lower(text)
    text = pc.if_else(pc.is_in(lower, _BLANKS), None, text)
    for word, number in (("true", "1"), ("false", "0")):
        text = pc.if_else(pc.equal(lower, word), number, text)
    if decimal == ",":
        _refuse_points(path, name, text)
        text = pc.replace_substring(text, ",", ".")
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        return _parse_slowly(path, name, text, decimal)


def _refuse_points(path: Path, name: str, text: pa.Array) -> None:
    mixed = pc.filter(text, pc.match_substring(text, "."))
    if len(mixed) > mixed.null_count:
        raise format_error(
            path,
            name,
            expected="numbers with the decimal sign ',', as elsewhere in the file",
            got=repr(mixed.drop_null()[0].as_py()),
        )


def _parse_slowly(path: Path, name: str, text: pa.Array, decimal: str) -> pa.Array:
    """Converts numbers as a C runtime prints them, such as `1.#INF`.

    Raises:
      DataFormatError: for the first text that is not a number.
    """
    values = []
    for value in text.to_pylist():
        try:
            values.append(np.nan if value is None else parse_number(value))
        except ValueError as error:
            raise format_error(
                path,
                name,
                expected=f"numbers with the decimal sign {decimal!r} (set another "
                "sign, delimiter or unit in the configuration)",
                got=repr(value),
            ) from error
    return pa.array(values, pa.float64())
