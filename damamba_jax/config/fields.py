"""Fields of a configuration: their meaning, unit and range stand beside their type.

`setting` describes a field and gives it no value: values stand only in `configs/`. A
section is a frozen dataclass that inherits from `Section`, which checks the ranges.
"""

import dataclasses
import math
import os
import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from damamba_jax.errors import ConfigError


class Range(NamedTuple):
    """Values that a field may have.

    Attributes:
      text: the range as error messages write it, e.g. `"> 0"`.
      holds: function that tells whether a value lies in the range.
    """

    text: str
    holds: Callable[[Any], bool]


POSITIVE = Range("> 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Range(">= 0", lambda value: 0 <= value < math.inf)
BELOW_ONE = Range("[0, 1)", lambda value: 0 <= value < 1)

# Names that may become parts of file paths.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def setting(
    meaning: str,
    *,
    unit: str = "",
    range: Range | None = None,
    is_path: bool = False,
    **options: Any,
) -> Any:
    """Describes one field.

    Args:
      meaning: one or more sentences about the field, with full stops.
      unit: unit of the value; empty for names, switches and numbers without a unit.
      range: values that are allowed; `None` allows all values of the type.
      is_path: whether the value is a path, in which `~` means the user's home.
      **options: options for `dataclasses.field`, such as `default`.
    """
    described = {"meaning": meaning, "unit": unit, "range": range, "is_path": is_path}
    return dataclasses.field(metadata=described, **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a configuration; creating one checks the range of each field.

    Attributes:
      path: dotted path of the section, as a user writes it, e.g. `"data.window"`.
    """

    path: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Checks the range of each field, and replaces `~` in paths.

        Raises:
          ConfigError: if a value is out of its range.
        """
        for field in dataclasses.fields(self):
            allowed, value = field.metadata["range"], getattr(self, field.name)
            if field.metadata["is_path"]:
                # A frozen dataclass has no other way to set a field.
                object.__setattr__(self, field.name, os.path.expanduser(value))
            if allowed is not None and not allowed.holds(value):
                raise ConfigError(
                    f"`{self.path_of(field.name)}`: expected {allowed.text}, got "
                    f"{value}."
                )

    def path_of(self, name: str) -> str:
        """Returns the path of a field, e.g. `optim.lr`."""
        return f"{self.path}.{name}" if self.path else name


def check_plain_names(path: str, *names: str) -> None:
    """Checks names that become parts of file paths.

    The configuration may come from somebody who is not trusted.

    Args:
      path: path of the field that holds the names.
      *names: the names.

    Raises:
      ConfigError: if a name holds anything but letters, digits, '_', '-' and '.'.
    """
    for name in names:
        if not PLAIN_NAME.fullmatch(name):
            raise ConfigError(
                f"`{path}`: expected names of letters, digits, '_', '-' and '.', got "
                f"{name!r}."
            )
