"""Pages of a configuration: every field with value, unit, range, source and meaning.

Meaning, unit and range are in the schema. The source of a value, `paper` or `ours`, is
a comment after the value in the configuration file: `config.optim.lr = 5e-5  # paper`.
"""

import ast
import dataclasses
import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import ml_collections

from damamba_jax.config.fields import Section
from damamba_jax.config.sections import Config, FeatureConfig
from damamba_jax.config.systems import SYSTEMS, SystemConfig
from damamba_jax.config.tree import from_config_dict, section_fields

_LINE = re.compile(r" +config\.([\w.]+) = (.+?)(?:  # (.+))?")


class Row(NamedTuple):
    """One field as text.

    Attributes:
      path: dotted path of the field, as the command line takes it.
      value: value of the field in the configuration.
      unit: unit of the value; empty for values without a unit.
      allowed: values that the field may have; empty if every value of its type is
        allowed.
      source: `paper` or `ours`, perhaps with a remark, or `command line`.
      meaning: description of the field in the schema.
    """

    path: str
    value: str
    unit: str
    allowed: str
    source: str
    meaning: str


class Part(NamedTuple):
    """One section of a configuration.

    Attributes:
      path: dotted path of the section; empty for the whole configuration.
      title: first line of the section's docstring.
      rows: the fields of the section.
    """

    path: str
    title: str
    rows: list[Row]


class Sources:
    """Sources of values, from the comments of configuration files.

    Args:
      texts: source texts of the files, the most specific one first.
      overridden: paths of the fields that the command line sets.
    """

    def __init__(self, texts: Iterable[str], overridden: Iterable[str] = ()) -> None:
        self._notes: list[tuple[str, Any, str]] = []
        self._overridden = frozenset(overridden)
        for text in texts:
            for found in filter(None, map(_LINE.fullmatch, text.splitlines())):
                path, value, note = found.groups()
                self._notes.append((path, _literal(value), _source(note or "")))

    def of(self, path: str, value: Any) -> str:
        """Returns the source of one value.

        Args:
          path: dotted path of the field.
          value: value of the field.
        """
        if path in self._overridden:
            return "command line"
        # `...` stands for a computed value. It fits any value, so it is tried last.
        for wanted in (value, ...):
            for other, literal, note in self._notes:
                if other == path and literal == wanted:
                    return note
        return "ours"


def parts(config: ml_collections.ConfigDict, sources: Sources) -> list[Part]:
    """Lists all sections of a configuration except the table of features.

    Raises:
      ConfigError: if the configuration is not valid.
    """
    from_config_dict(config)
    return list(_parts(Config, config.to_dict(), "", sources))


def feature_rows(config: ml_collections.ConfigDict) -> list[tuple[str, ...]]:
    """Lists the features that a configuration uses, in the order of `FeatureConfig`."""
    return [
        tuple(_text(value) for value in vars(feature).values())
        for feature in from_config_dict(config).data.features
    ]


def feature_columns() -> list[tuple[str, str]]:
    """Lists the name (with the unit) and the meaning of each field of a feature."""
    columns = []
    for field in dataclasses.fields(FeatureConfig):
        unit = field.metadata["unit"]
        name = f"{field.name} ({unit})" if unit else field.name
        columns.append((name, field.metadata["meaning"]))
    return columns


def _parts(cls: type, tree: dict, path: str, sources: Sources) -> Iterator[Part]:
    """Lists a section, and then the sections inside it."""
    if cls is SystemConfig:
        cls = SYSTEMS[tree["system"]]
    rows, inner = [], []
    for field, hint in section_fields(cls):
        where = f"{path}.{field.name}" if path else field.name
        value = tree.get(field.name, field.default)
        section = next(filter(dataclasses.is_dataclass, _choices(hint)), None)
        if isinstance(value, dict) and section is not None:
            inner.append((section, value, where))
        else:
            rows.append(_row(field, hint, where, value, sources.of(where, value)))
    title = (cls.__doc__ or "").splitlines()[0]
    yield Part(path, title, rows)
    for section, value, where in inner:
        yield from _parts(section, value, where, sources)


def _choices(hint: Any) -> Sequence[Any]:
    """Returns the types that a field may have."""
    return (hint, *typing.get_args(hint))


def _row(
    field: dataclasses.Field, hint: Any, path: str, value: Any, source: str
) -> Row:
    """Describes one field."""
    data = field.metadata
    allowed = data["range"].text if data["range"] else ""
    if typing.get_origin(hint) is Literal:
        allowed = ", ".join(map(str, typing.get_args(hint)))
    return Row(path, _text(value), data["unit"], allowed, source, data["meaning"])


def _text(value: Any) -> str:
    """Writes a value as text; an empty value becomes a dash.

    A section becomes the list of those of its fields that differ from their defaults.
    """
    if isinstance(value, Section):
        given = (
            f"{field.name}={_text(getattr(value, field.name))}"
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != field.default
        )
        return "; ".join(given)
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return "-" if value in ("", None) else str(value)


def _literal(text: str) -> Any:
    """Reads a Python literal; for any other expression it returns `...`."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ...


def _source(note: str) -> str:
    """Makes the source of a value from the comment after it."""
    if re.match(r"(paper|ours)\b", note):
        return note
    return f"ours: {note}" if note else "ours"
