"""The way in which every command ends."""

import io
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from damamba_jax.errors import ConfigError
from damamba_jax.runtime import command
from damamba_jax.runtime.stop import Stopped, StopRequest


def test_a_body_gets_the_console_and_may_end_by_itself():
    console, seen = Console(file=io.StringIO()), []
    command.run(lambda stop, given: seen.append(given), console=console)
    assert seen == [console]


@pytest.mark.parametrize("error", [ConfigError("`lr`: wrong."), OSError("no tape")])
def test_what_a_user_can_mend_is_one_line_and_status_1(error):
    def body(stop, console):
        raise error

    with pytest.raises(SystemExit) as end:
        command.run(body)
    # Python prints such a text on standard error and ends with status 1.
    assert end.value.code == f"error: {error}"


def test_an_error_gives_the_terminal_no_commands():
    def body(stop, console):
        raise ConfigError("`expert\x1b[2J.stream`: wrong.\nSecond line.")

    with pytest.raises(SystemExit) as end:
        command.run(body)
    assert end.value.code == "error: `expert\ufffd[2J.stream`: wrong.\nSecond line."


def test_what_a_body_returns_is_handed_on():
    assert command.run(lambda stop, console: 3) == 3


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


def test_a_platform_that_is_not_there_is_one_line():
    program = (
        "import jax\n"
        "from damamba_jax.runtime import command\n"
        "command.run(lambda stop, console: jax.devices())"
    )
    for platforms in ("cuda", "tpu,cuda", "no-such"):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True,
            env={**os.environ, "JAX_PLATFORMS": platforms},
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(
            "error: `JAX_PLATFORMS`: expected a platform that this machine has, got"
        )
        assert "Traceback" not in done.stderr

    def body(stop, console):
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        command.run(body)


def test_log_lines_are_whole_in_pipes_and_other_encodings():
    program = (
        "import logging; from damamba_jax.runtime.command import show_log; show_log(); "
        "logging.getLogger('damamba_jax').warning('\u2013' + 'long ' * 60 + 'end'); "
        "print('\u2013')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert line == "?" + "long " * 60 + "end" and done.stdout == "?\n"
