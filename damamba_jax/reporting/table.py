"""Tables of text: as Markdown, and in a terminal."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich import table as rich_table
from rich.console import Console
from rich.text import Text

from damamba_jax.files import write_json, write_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text, ready for any writer; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        header = [self.columns, ("---", *["---:"] * (len(self.columns) - 1))]
        lines = [
            f"| {' | '.join(map(_escape, row))} |" for row in [*header, *self.rows]
        ]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", *lines, *notes, ""])

    def to_rich(self) -> rich_table.Table:
        table = rich_table.Table(
            title=plain(self.title), caption=plain("\n".join(self.notes)),
            box=box.SIMPLE, title_justify="left", caption_justify="left",
        )  # fmt: skip
        table.add_column(self.columns[0])
        for column in self.columns[1:]:
            table.add_column(column, justify="right")
        for row in self.rows:
            table.add_row(*map(plain, row))
        return table


def plain(text: str) -> Text:
    """Keeps text from data files from being read as markup or terminal commands."""
    return Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))


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
    return cell.replace("|", "\\|").replace("\n", " ")
