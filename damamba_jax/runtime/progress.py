"""Progress and time to go: a live bar in a terminal, a line now and then elsewhere."""

import datetime
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressLine:
    """Shows how far one task has come; a context manager, called with (done, total).

    Args:
      title: the title of the task, e.g. `"noxi/val"`.
      console: where to write. What is no terminal gets plain lines.
      unit: the unit of what is counted.
      start: how much was done before, e.g. by the run that is resumed.
      every_seconds: shortest time between two plain lines.
      clock: seconds, for tests.
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
        if console.is_terminal:
            self._bar = Progress(
                # Titles and notes hold names of configurations and sessions.
                TextColumn("{task.description}", markup=False), BarColumn(),
                MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn(),
                TextColumn("ETA"), TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
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
            self._bar.stop()

    def restart(self, done: int) -> None:
        """Estimates the time to go from here on, e.g. after a compilation."""
        self._start, self._first = self._clock(), done

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
            left = seconds * (total - done) / max(done - self._first, 1)
            line += f", {100 * done // total} %, ETA {_clock_text(left)}"
        else:
            line += f" in {_clock_text(now - self._began)}"
        line += f", {note}" if note else ""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _clock_text(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
