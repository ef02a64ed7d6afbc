"""Tables of text: as Markdown, and in a terminal."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich import table as rich_table
from rich.console import Console
from rich.text import Text

from damamba_jax.errors import printable
from damamba_jax.files import write_json, write_text

_NUMBER = re.compile(r"[*+-]*\d")
# Cells that do not say whether a column holds numbers.
_EMPTY = ("", "–", "-", "none", "bad", "out of memory")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text, ready for any writer.

    Columns of numbers are aligned to the right, all others to the left.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """Writes the table as Markdown."""
        rule = ["---:" if right else "---" for right in self._numeric()]
        header = [self.columns, rule]
        lines = [
            f"| {' | '.join(map(_escape, row))} |" for row in [*header, *self.rows]
        ]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", *lines, *notes, ""])

    def to_rich(self) -> rich_table.Table:
        """Makes a table for a terminal."""
        table = rich_table.Table(
            title=plain(self.title), caption=plain("\n".join(self.notes)),
            box=box.SIMPLE, title_justify="left", caption_justify="left",
        )  # fmt: skip
        for column, right in zip(self.columns, self._numeric(), strict=True):
            table.add_column(plain(column), justify="right" if right else "left")
        for row in self.rows:
            table.add_row(*map(plain, row))
        return table

    def _numeric(self) -> list[bool]:
        """Whether each column holds numbers, perhaps with signs, units or gaps."""
        columns = (
            zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        )
        return [
            any(_NUMBER.match(cell) for cell in column)
            and all(_NUMBER.match(cell) or cell in _EMPTY for cell in column)
            for column in columns
        ]


def plain(text: str) -> Text:
    """Keeps text from data files from being read as markup or terminal commands."""
    return Text(printable(text))


def show(table: Table, console: Console) -> None:
    """Prints a table; what is no terminal gets Markdown, having no width to fit."""
    if console.is_terminal:
        console.print(table.to_rich())
    else:
        console.print(plain(table.to_markdown()), highlight=False, soft_wrap=True)


def write_table(
    table: Table, numbers: Mapping[str, Any], out: Path, *, console: Console
) -> None:
    """Prints a table and writes it, as `write_tables` does several."""
    write_tables([table], numbers, out, console=console)


def write_tables(
    tables: Sequence[Table], numbers: Mapping[str, Any], out: Path, *, console: Console
) -> None:
    """Prints tables and writes them, as Markdown and as JSON, beside their picture.

    Args:
      tables: as text.
      numbers: the same for programs.
      out: path of the files, without an ending.
      console: where the tables are printed.
    """
    text = "\n".join(table.to_markdown() for table in tables)
    write_text(out.with_suffix(".md"), text)
    write_json(out.with_suffix(".json"), numbers)
    for table in tables:
        show(table, console)
    console.print(
        f"Written: {out}.md, .json and .png",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _escape(cell: str) -> str:
    return printable(cell.replace("|", "\\|").replace("\n", " "))
