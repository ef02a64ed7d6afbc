"""Progress in a terminal and in a pipe."""

import io

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
