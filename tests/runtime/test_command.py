"""The way in which every command ends."""

import io
import signal

import pytest
from rich.console import Console

from damamba_jax.errors import ConfigError
from damamba_jax.runtime import command
from damamba_jax.runtime.stop import Stopped, StopRequest


def test_a_body_gets_the_console_and_may_end_by_itself():
    console, seen = Console(file=io.StringIO()), []
    command.run(lambda stop, given: seen.append(given), console=console)
    assert seen == [console]


@pytest.mark.parametrize("error", [ConfigError("`lr`: wrong."), OSError("disk full")])
def test_what_a_user_can_mend_is_one_line_and_status_1(error):
    def body(stop, console):
        raise error

    with pytest.raises(SystemExit) as end:
        command.run(body)
    # Python prints such a text on standard error and ends with status 1.
    assert end.value.code == f"error: {error}"


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        command.run(lambda stop, console: 1 // 0)


def test_a_stopped_body_ends_with_the_status_of_the_signal(monkeypatch):
    """Real signals end child processes in `test_stop.py`; here none is sent."""
    status = 128 + signal.SIGTERM
    monkeypatch.setattr(StopRequest, "exit_status", status)

    def body(stop, console):
        raise Stopped("SIGTERM")

    text = io.StringIO()
    with pytest.raises(SystemExit) as end:
        command.run(body, console=Console(file=text))
    assert end.value.code == status
    assert text.getvalue() == "SIGTERM: stopped; the same command resumes.\n"
