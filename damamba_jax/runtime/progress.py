"""Progress and remaining time: a live bar in a terminal, else a line now and then."""

import datetime
import time
from collections.abc import Callable, Iterable
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

# Columns of a terminal for the bar, and for the numbers and times beside it.
_BAR, _NUMBERS = 40, 50


class ProgressLine:
    """Shows the progress of one task.

    It is a context manager, and is called with the work that is done and all work.

    Args:
      title: title of the task, e.g. `"noxi/val"`.
      console: console that is written to; outside a terminal it gets plain lines.
      unit: unit of the work, e.g. `"batches"`.
      start: work that was done before, e.g. by the run that is resumed.
      every_seconds: shortest time between two plain lines, seconds.
      clock: function that returns the time in seconds; tests give their own.
    """

    def __init__(
        self,
        title: str,
        console: Console,
        *,
        unit: str = "batches",
        start: int = 0,
        every_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._title, self._console, self._unit = title, console, unit
        self._every, self._clock, self._first = every_seconds, clock, start
        self._began = self._start = self._said = clock()
        self._bar: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._bar = _Bar(
                BarColumn(bar_width=max(10, min(_BAR, console.width - _NUMBERS))),
                MofNCompleteColumn(), TextColumn(unit, markup=False),
                TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(),
                console=console,
            )  # fmt: skip
            self._task = self._bar.add_task(title, total=None, note="")

    def __enter__(self) -> "ProgressLine":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            # A bar that did not reach its end disappears.
            self._bar.live.transient = not self._bar.finished
            self._bar.stop()

    def restart(self, done: int) -> None:
        """Starts a new estimate of the remaining time, e.g. after a compilation.

        Args:
          done: work that is done up to now.
        """
        self._start, self._first = self._clock(), done

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self._console.print(
            line, markup=False, highlight=False, emoji=False, soft_wrap=True
        )

    def __call__(self, done: int, total: int, *, note: str = "") -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
            return
        now = self._clock()
        if done < total and now - self._said < self._every:
            return
        self._said = now
        line = f"{self._title}: {done}/{total} {self._unit}"
        seconds = now - self._start
        if done < total:
            line += f", {100 * done // total} %"
            # The time can be estimated only after some work is done.
            if done > self._first:
                left = seconds * (total - done) / (done - self._first)
                line += f", ETA {clock_text(left)}"
        else:
            line += f" in {clock_text(now - self._began)}"
        self.say(f"{line}, {note}" if note else line)


class _Bar(Progress):
    """A bar between its title and its note.

    In a narrow terminal, title, bar and note have lines of their own. Titles and notes
    hold names of configurations and sessions, which are never cut.
    """

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yields the lines of every task."""
        for task in self.tasks:
            title = Text(task.description, overflow="fold")
            note = Text(task.fields["note"], overflow="fold")
            line = self.make_tasks_table([task])
            texts = cell_len(title.plain) + cell_len(note.plain)
            if texts + _BAR + _NUMBERS <= self.console.width:
                row = Table.grid(padding=(0, 1))
                row.add_row(title, line, note)
                yield row
            else:
                yield title
                yield line
                if note:
                    yield note


def clock_text(seconds: float) -> str:
    """Writes a duration as hours, minutes and seconds."""
    return str(datetime.timedelta(seconds=round(seconds)))
