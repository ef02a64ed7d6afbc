"""Tables of text, which are written as Markdown or shown in a terminal."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich import table as rich_table
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from damamba_jax.errors import printable
from damamba_jax.files import write_json, write_text

_NUMBER = re.compile(r"[*+-]*\d")
# An interval, a standard deviation or a standard error after a number.
_SPREAD = re.compile(r" (\[[^]]*\]|± .*)$")
# A longer word continues in the next line.
_LONGEST_WORD = 28
# Cells that do not say whether a column holds numbers.
_EMPTY = ("", "–", "-", "none", "bad", "out of memory")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose cells are text.

    Columns of numbers are aligned to the right, all others to the left.

    Args:
      title: title of the table; empty for none.
      columns: names of the columns.
      rows: cells of each row.
      notes: sentences below the table.
      names: columns of names; these are text even if all cells begin with a digit.
      spare: columns that a narrow terminal leaves out, in this order. If there is still
        no room, it leaves out other columns too, the last one first.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """Writes the table as Markdown."""
        rule = ["---:" if right else "---" for right in self._numeric()]
        header = [self.columns, rule]
        lines = [
            f"| {' | '.join(map(_escape, row))} |" for row in [*header, *self.rows]
        ]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", *lines, *notes, ""])

    def to_rich(self, width: int | None = None) -> rich_table.Table:
        """Makes a table for a terminal.

        Args:
          width: width of the terminal in characters. The columns share it so that
            numbers stay whole. `None` leaves the widths to rich.
        """
        table = rich_table.Table(
            title=plain(self.title) if self.title else None,
            caption=plain("\n".join(self.notes)) if self.notes else None,
            box=box.SIMPLE, title_justify="left", caption_justify="left",
        )  # fmt: skip
        widths = [None] * len(self.columns) if width is None else self._widths(width)
        for column, right, given in zip(
            self.columns, self._numeric(), widths, strict=True
        ):
            # A name that is too long continues in the next line; a number never does.
            table.add_column(
                plain(column), justify="right" if right else "left", no_wrap=right,
                overflow="fold", width=given,
            )  # fmt: skip
        for row in self.rows:
            table.add_row(*map(plain, row))
        return table

    def fit(self, width: int) -> "Table":
        """Leaves out parts that a terminal has no room for, and says so in a note.

        First it leaves out columns of text that are the same in every row, then the
        intervals and spreads of numbers, and then whole columns. Names stay whole.

        Args:
          width: width of the terminal in characters.
        """
        table = self
        for change in (_without_constants, _without_intervals):
            if table._least_width() > width:
                table = change(table)
        gone: list[str] = []
        order = [name for name in table.spare if name in table.columns]
        order += [n for n in reversed(table.columns[2:]) if n not in order]
        for name in order:
            if table._least_width() <= width:
                break
            table = table._without(name)
            gone.append(name)
        if not gone:
            return table
        note = f"Not shown for lack of room: {', '.join(gone)}."
        return dataclasses.replace(table, notes=(*table.notes, note))

    def _without(self, name: str) -> "Table":
        """Leaves a column out."""
        place = self.columns.index(name)
        columns, *rows = (
            (*row[:place], *row[place + 1 :]) for row in (self.columns, *self.rows)
        )
        return dataclasses.replace(self, columns=columns, rows=tuple(rows))

    def _least_width(self) -> int:
        """Returns the least width in characters that keeps numbers and words whole."""
        # The sum includes the borders and the spaces beside them.
        return 1 + 3 * len(self.columns) + sum(self._least_widths())

    def _widths(self, width: int) -> list[int]:
        """Shares a terminal's width among the columns.

        Each column gets its least width first. The rest goes to columns that want more.
        """
        given, numeric = self._least_widths(), self._numeric()
        wanted = [
            max(map(cell_len, (name, *column)))
            for name, column in zip(self.columns, self._cells(), strict=True)
        ]
        room = width - self._least_width()
        while room < 0:
            # There is too little room: the widest column of names becomes narrower,
            # and its names continue in the next line.
            names = [i for i, right in enumerate(numeric) if not right and given[i] > 4]
            if not names:
                break
            given[max(names, key=lambda i: given[i])] -= 1
            room += 1
        while room > 0 and given != wanted:
            short = [i for i, have in enumerate(given) if have < wanted[i]]
            given[min(short, key=lambda i: given[i])] += 1
            room -= 1
        return given

    def _least_widths(self) -> list[int]:
        """Returns the least width of each column in characters."""
        found = []
        for name, column, right in zip(
            self.columns, self._cells(), self._numeric(), strict=True
        ):
            cells = (name, *column)
            words = cells if right else [w for cell in cells for w in cell.split()]
            longest = max((cell_len(word) for word in words), default=0)
            found.append(longest if right else min(longest, _LONGEST_WORD))
        return found

    def _cells(self) -> list[tuple[str, ...]]:
        """Returns the cells of each column."""
        return [
            tuple(row[place] for row in self.rows) for place in range(len(self.columns))
        ]

    def _numeric(self) -> list[bool]:
        """Says which columns hold numbers, perhaps with signs, units or gaps."""
        columns = self._cells()
        return [
            name not in self.names
            and any(_NUMBER.match(cell) for cell in column)
            and all(_NUMBER.match(cell) or cell in _EMPTY for cell in column)
            for name, column in zip(self.columns, columns, strict=True)
        ]


def _without_constants(table: Table) -> Table:
    """Replaces columns of text that are the same in every row by notes."""
    notes = []
    for name, right in zip(table.columns[1:], table._numeric()[1:], strict=True):
        place = table.columns.index(name)
        cells = {row[place] for row in table.rows}
        if not right and len(cells) == 1:
            table = table._without(name)
            notes.append(f"{name}: {cells.pop()}.")
    return dataclasses.replace(table, notes=(*notes, *table.notes))


def _without_intervals(table: Table) -> Table:
    """Leaves out the intervals and spreads of numbers."""
    rows = tuple(
        tuple(_SPREAD.sub("", c) if _NUMBER.match(c) else c for c in row)
        for row in table.rows
    )
    if rows == table.rows:
        return table
    note = "Intervals and spreads are not shown for lack of room."
    return dataclasses.replace(table, rows=rows, notes=(note, *table.notes))


def plain(text: str) -> Text:
    """Makes text that is shown as it is, not as markup or as a terminal command."""
    return Text(printable(text))


def show(table: Table, console: Console) -> None:
    """Prints a table: fitted to its width in a terminal, else as Markdown."""
    if console.is_terminal:
        fitting = table.fit(console.width)
        bare = dataclasses.replace(fitting, title="", notes=())
        console.print(Text(printable(table.title), style="bold"), soft_wrap=False)
        console.print(bare.to_rich(console.width), soft_wrap=False)
        for note in fitting.notes:
            console.print(plain(note), soft_wrap=False)
        console.print()
    else:
        console.print(plain(table.to_markdown()), highlight=False, soft_wrap=True)


def write_table(
    table: Table, numbers: Mapping[str, Any], out: Path, *, console: Console
) -> None:
    """Prints and writes one table; see `write_tables`."""
    write_tables([table], numbers, out, console=console)


def write_tables(
    tables: Sequence[Table], numbers: Mapping[str, Any], out: Path, *, console: Console
) -> None:
    """Prints tables, and writes them as Markdown and as JSON.

    The caller writes a picture beside them, `OUT.png`, which the last line names.

    Args:
      tables: the tables.
      numbers: the same results as numbers, for JSON.
      out: path of the files without its ending.
      console: console that is printed on.
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
