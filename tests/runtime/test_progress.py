"""Progress in a terminal and in a pipe."""

import io
import re

import pytest
from rich.console import Console

from damamba_jax.runtime.progress import ProgressLine


@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_never_markup(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160)
    with ProgressLine("a[/b] [red]x", console, every_seconds=0.0) as tell:
        tell(1, 2, note="run [/c]")
        tell(2, 2, note="run [/c]")
    said = console.file.getvalue()
    assert "a[/b] [red]x" in said and "run [/c]" in said


@pytest.mark.parametrize("width", [160, 80, 40])
def test_nothing_is_cut_in_a_terminal_of_any_width(width, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    title, note = "noxi/" + "long-name/" * 6, "loss 0.123, val CCC 0.456, 7.89 steps/s"
    with ProgressLine(title, console, unit="steps") as tell:
        tell(1, 2, note=note)
        tell(2, 2, note=note)
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    assert "\u2026" not in said
    squeezed = "".join(said.split())
    assert title in squeezed and "".join(note.split()) in squeezed
    assert max(len(line.split("\r")[-1]) for line in said.splitlines()) <= width


def test_a_bar_that_did_not_reach_its_end_leaves_nothing(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for last, transient in ((1, True), (2, False)):
        console = Console(file=io.StringIO(), force_terminal=True, width=80)
        line = ProgressLine("x", console)
        with line as tell:
            tell(last, 2)
            tell.say("a [line] between")
        assert line._bar.live.transient == transient
        assert "a [line] between" in console.file.getvalue()


def test_a_terminal_without_cursor_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with ProgressLine("x", console, every_seconds=0.0) as tell:
        tell(1, 2)
        tell(2, 2)
    said = [line.partition(",")[0] for line in console.file.getvalue().splitlines()]
    assert said == ["x: 1/2 batches", "x: 2/2 batches in 0:00:00"]
