"""The way in which every command ends."""

import io
import signal

import pytest
from absl import flags
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


def test_an_error_gives_the_terminal_no_commands():
    def body(stop, console):
        raise ConfigError("`expert\x1b[2J.stream`: wrong.\nSecond line.")

    with pytest.raises(SystemExit) as end:
        command.run(body)
    assert end.value.code == "error: `expert\ufffd[2J.stream`: wrong.\nSecond line."


def test_what_a_body_returns_is_handed_on():
    assert command.run(lambda stop, console: 3) == 3


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--sed=1", "Unknown command line flag 'sed'. Did you mean: seed"),
        ("--seed=x", "flag --seed=x: .* All flags: --help"),
        ("more", "expected flags only, got 'more'"),
    ],
)
def test_flags_of_a_command_say_what_is_wrong(argument, message):
    values = flags.FlagValues()
    flags.DEFINE_integer("seed", 0, "Of all draws.", flag_values=values)
    with pytest.raises(ConfigError, match=message):
        command.read_flags(values, ["command", argument], "What it does.")


def test_help_of_a_command_shows_its_text_and_its_flags(capsys):
    values = flags.FlagValues()
    flags.DEFINE_integer("seed", 0, "Of all draws.", flag_values=values)
    with pytest.raises(SystemExit) as end:
        command.read_flags(values, ["command", "--help"], "What it does.")
    printed = capsys.readouterr().out
    assert end.value.code is None
    assert printed.startswith("What it does.") and "Of all draws." in printed


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
