"""Writes a configuration as Python, with the reason before each value.

Names from disk become only string literals and comments. Whatever they contain, they
are never code.
"""

import textwrap
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias, Union

_WIDTH = 88

Value: TypeAlias = Union[
    str, int, float, tuple[str, ...], tuple[float, ...], "dict[str, Item]"
]


class Item(NamedTuple):
    """A value, and the reason for it; a dict becomes a group of fields."""

    value: Value
    reason: str = ""


def quote(text: str) -> str:
    """Writes a text as a literal of Python, in the style of this project."""
    if '"' in text and "'" not in text:
        return repr(text)
    inner = "".join(
        "\\" + c if c in '"\\' else c if c.isprintable() else repr(c)[1:-1]
        for c in text
    )
    return f'"{inner}"'


def shown(text: str) -> str:
    """Writes a name from disk so that it can stand in one line of a comment."""
    return quote(text if len(text) <= 120 else f"{text[:117]}...")


def comment(text: str, indent: int) -> list[str]:
    """Writes a sentence as lines of a comment."""
    plain = "".join(c if c.isprintable() else "\ufffd" for c in text)
    lines = textwrap.wrap(
        plain, _WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False
    )
    return [f"{' ' * indent}# {line}" for line in lines]


def assign(target: str, item: Item) -> list[str]:
    """Writes `target = value`, for the body of a function, after its reason."""
    lines = comment(item.reason, 4)
    if isinstance(item.value, dict):
        return [*lines, f"    {target} = dict(", *_fields(item.value, 8), "    )"]
    text = _literal(item.value, 4, len(target) + 3, "")
    first = f"    {target} = {text[0]}"
    if len(text) == 1 and len(first) > _WIDTH and len(text[0]) + 8 <= _WIDTH:
        return [*lines, f"    {target} = (", f"        {text[0]}", "    )"]
    return [*lines, first, *text[1:]]


def assign_table(target: str, table: Mapping[str, Item]) -> list[str]:
    """Writes `target = {...}`, a dict whose keys are the names of features."""
    lines = [f"    {target} = {{"]
    for name, item in table.items():
        assert isinstance(item.value, dict), "a feature is a group of fields"
        lines += comment(item.reason, 8)
        lines += [f"        {quote(name)}: dict(", *_fields(item.value, 12)]
        lines.append("        ),")
    return [*lines, "    }"]


def _fields(fields: Mapping[str, Item], indent: int) -> list[str]:
    pad, lines = " " * indent, []
    for name, item in fields.items():
        lines += comment(item.reason, indent)
        if isinstance(item.value, dict):
            lines += [f"{pad}{name}=dict(", *_fields(item.value, indent + 4)]
            lines.append(f"{pad}),")
            continue
        text = _literal(item.value, indent, len(name) + 1, ",")
        lines += [f"{pad}{name}={text[0]}", *text[1:]]
        lines[-1] += ","
    return lines


def _literal(
    value: str | int | float | Iterable[str | float], indent: int, used: int, end: str
) -> list[str]:
    """Returns the lines of a literal; `used` characters stand before the first one."""
    if isinstance(value, (int, float)):
        return [repr(value)]
    if isinstance(value, str):
        return [quote(value)]
    items = [quote(v) if isinstance(v, str) else repr(v) for v in value]
    line = f"({', '.join(items)}{',' * (len(items) == 1)})"
    if indent + used + len(line) + len(end) <= _WIDTH:
        return [line]
    pad = " " * (indent + 4)
    return ["(", *(f"{pad}{item}," for item in items), f"{' ' * indent})"]
