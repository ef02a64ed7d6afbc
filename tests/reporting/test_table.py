"""Tables in terminals and pipes: nothing is cut, and numbers keep their place."""

import io

import pytest
from rich.console import Console

from damamba_jax.reporting.table import Table, show

WIDE = Table(
    title="Test sets of a study with a long title that a narrow terminal breaks",
    columns=("split", "method", "sessions", "CCC", "per session", "MSE", "origin"),
    rows=(
        ("noxi/test-base", "noxi-demo, step 160", "14", "0.763 [0.71, 0.81]",
         "0.722 ± 0.097", "0.0060", "simulated"),
        ("noxi/test-additional", "ridge regression per frame", "4", "-0.073", "–",
         "0.0102", "simulated"),
    ),
    notes=("Brackets hold an interval.",),
    spare=("MSE",),
)  # fmt: skip


def shown(table, width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    show(table, console)
    return console.file.getvalue().splitlines()


def plain_text(lines):
    text = "\n".join(lines)
    for code in ("\x1b[1m", "\x1b[0m"):
        text = text.replace(code, "")
    return text


@pytest.mark.parametrize("width", [200, 120, 80, 60, 45, 40])
def test_a_terminal_of_any_width_cuts_nothing(width):
    lines = plain_text(shown(WIDE, width)).splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text and "..." not in text
    assert "0.763" in text or "CCC" in text.partition("Not shown")[2]
    assert "-0.073" in text or "CCC" in text.partition("Not shown")[2]
    squeezed = "".join(text.split())
    assert "noxi/test-additional" in squeezed


def test_what_goes_first_is_said_below():
    least = WIDE._least_width()
    assert WIDE.fit(least) is WIDE and least > 80
    less = WIDE.fit(least - 1)
    assert "origin" not in less.columns and "origin: simulated." in less.notes
    assert "0.763 [0.71, 0.81]" in less.rows[0]
    short = WIDE.fit(less._least_width() - 1)
    assert short.rows[0][3:5] == ("0.763", "0.722") and short.rows[1][3] == "-0.073"
    assert "MSE" in short.columns
    narrow = WIDE.fit(short._least_width() - 1)
    assert "MSE" not in narrow.columns and "CCC" in narrow.columns
    assert any("Not shown for lack of room: MSE" in note for note in narrow.notes)


def test_numbers_stand_right_and_names_left():
    table = Table(
        title="t", columns=("session", "frames"), names=("session",),
        rows=(("001", "5"), ("12 a", "1,200")),
    )  # fmt: skip
    assert "| --- | ---: |" in table.to_markdown()
    lines = shown(table, 80)
    assert any(line.startswith("  001  ") for line in lines)
    assert any(line.rstrip().endswith("     5") for line in lines)


def test_a_pipe_gets_whole_lines_and_names_are_no_markup():
    console = Console(file=io.StringIO(), width=40)
    name = "[red]" + "long/" * 30 + "[/b]"
    show(Table(title=name, columns=("a", "b"), rows=((name, "1"),)), console)
    assert f"| {name} | 1 |" in console.file.getvalue()
    assert "[red]" in plain_text(
        shown(Table(title="t", columns=("[red]",), rows=()), 80)
    )
