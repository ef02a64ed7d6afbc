"""Signals end a process within seconds, whatever its main thread is doing."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from damamba_jax.runtime.stop import Stopped, StopRequest

# Runs in C without Python's lock for minutes, as a compilation does.
STUCK = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"

CHILD = """
import hashlib, pathlib, sys, time
from damamba_jax.runtime.stop import Stopped, StopRequest

saved = pathlib.Path(sys.argv[1])
with StopRequest(grace_seconds=float(sys.argv[2])) as stop:
    try:
        {body}
    except Stopped as error:
        saved.write_text(f"stopped at a safe point by {{error}}")
        sys.exit(stop.exit_status)
"""


def block(statement, save="lambda: saved.write_text('published')"):
    return (
        f"with stop.protect({save}):\n"
        "            print('ready', flush=True)\n"
        f"            {statement}"
    )


def run(tmp_path, body, number, *, grace=0.5):
    """Returns (exit status, what was saved, seconds from the signal to the end)."""
    saved = tmp_path / "saved"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(body=body), str(saved), str(grace)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "ready\n", child.stderr.read()
        time.sleep(0.1)
        start = time.monotonic()
        child.send_signal(number)
        _, log = child.communicate(timeout=30)
    finally:
        child.kill()
    seconds = time.monotonic() - start
    return child.returncode, saved.read_text() if saved.exists() else log, seconds


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129),
        (signal.SIGUSR1, 138), (signal.SIGUSR2, 140),
    ],
)  # fmt: skip
def test_what_was_published_is_saved_while_the_main_thread_is_in_c(
    tmp_path, number, status
):
    got = run(tmp_path, block(STUCK), number)
    assert got[:2] == (status, "published")
    assert got[2] < 5


def test_a_main_thread_that_reaches_a_safe_point_saves_itself(tmp_path):
    loop = "while True: stop.check(); time.sleep(0.01)"
    status, saved, seconds = run(tmp_path, block(loop), signal.SIGTERM, grace=20.0)
    assert (status, saved) == (143, "stopped at a safe point by SIGTERM")
    assert seconds < 5


def test_a_patient_block_takes_the_time_that_its_end_needs(tmp_path):
    slow = "\n            ".join(
        ("while not stop.requested: time.sleep(0.01)", "time.sleep(1.5); stop.check()")
    )
    body = block(slow, "None, patient=True")
    status, saved, seconds = run(tmp_path, body, signal.SIGTERM, grace=0.1)
    assert (status, saved) == (143, "stopped at a safe point by SIGTERM")
    assert 1.4 < seconds < 6


def test_a_warning_is_taken_once_and_ends_nothing(tmp_path):
    number = int(signal.SIGUSR1)
    program = (
        "import signal, sys, time\n"
        "from damamba_jax.runtime.stop import Stopped, StopRequest\n"
        f"with StopRequest(warnings=[signal.Signals({number})]) as stop:\n"
        "    print('ready', flush=True)\n"
        "    with stop.protect(lambda: None):\n"
        "        while not stop.take_warning(): stop.check(); time.sleep(0.01)\n"
        "        assert not stop.take_warning() and not stop.requested\n"
        "        print('warned', flush=True)\n"
        "        try:\n"
        "            while True: stop.check(); time.sleep(0.01)\n"
        "        except Stopped as error:\n"
        "            print(error, stop.take_warning(), flush=True)\n"
        "            sys.exit(stop.exit_status)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGUSR1)
        assert child.stdout.readline() == "warned\n"
        child.send_signal(signal.SIGTERM)
        out, log = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 143 and out == "SIGTERM False\n"
    assert "SIGUSR1: the run saves after this step and goes on." in log


def test_outside_protect_the_end_is_immediate(tmp_path):
    body = f"print('ready', flush=True); {STUCK}"
    status, log, seconds = run(tmp_path, body, signal.SIGTERM, grace=20.0)
    assert status == 143
    assert "SIGTERM: stopped." in log
    assert seconds < 5


def test_a_block_that_cannot_save_is_not_protected(tmp_path):
    body = block(STUCK, save="None")
    status, _, seconds = run(tmp_path, body, signal.SIGINT, grace=20.0)
    assert status == 130
    assert seconds < 5


def test_a_save_that_fails_is_said_and_delays_nothing(tmp_path):
    status, log, seconds = run(tmp_path, block(STUCK, save="dict().popitem"),
                               signal.SIGTERM)  # fmt: skip
    assert status == 143
    assert "older checkpoints are kept" in log
    assert seconds < 5


def test_signals_do_as_before_once_it_is_left():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest(grace_seconds=60.0) as stop:
        stop.check()
        with stop.protect(lambda: None):
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(200):
                if stop.requested:
                    break
                time.sleep(0.01)
            with pytest.raises(Stopped, match="SIGTERM"):
                stop.check()
            assert stop.exit_status == 143
            stop._done.set()
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


def test_outside_the_main_thread_nothing_is_watched():
    found = []

    def work():
        with StopRequest() as stop:
            stop.check()
            found.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
