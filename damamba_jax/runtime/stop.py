"""Stopping on a signal, such as SIGTERM or Ctrl-C, within seconds and without loss.

Python runs its own signal handlers only between bytecodes: during an XLA compilation or
a long step they wait until it returns, which can take minutes. Here a thread is woken
by the signal itself. It gives the main thread `grace_seconds` to reach a safe point;
then it saves what the main thread last published, and ends the process. A signal can
also be a warning, after which the main thread saves at its next safe point and goes on.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator

_log = logging.getLogger(__name__)

# Long enough for a save that has begun, short enough for a scheduler's 10 seconds.
GRACE_SECONDS = 5.0

# All that end a program which does not know them, and can be caught: a scheduler's
# warning, a closed terminal, Ctrl-C. Windows has the first two alone.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)


class Stopped(Exception):
    """A signal asked the run to stop; raised at a safe point."""


class StopRequest:
    """Watches for `SIGNALS` while active; a context manager.

    In a thread other than the main one Python gives no signals, and nothing is watched.

    Outside `protect` there is nothing to lose and a signal ends the process at once,
    with the exit status 128 + signal that shells expect.

    Args:
      grace_seconds: what the main thread is given to reach a safe point.
      warnings: signals that announce an end and do not ask for it, such as a cluster's
        early warning; see `take_warning`.
    """

    def __init__(
        self,
        *,
        grace_seconds: float = GRACE_SECONDS,
        warnings: Collection[signal.Signals] = (),
    ):
        self._grace, self._warnings = grace_seconds, frozenset(warnings)
        self._warned = threading.Event()
        self._signal = 0
        self._asked = threading.Event()
        self._save: Callable[[], None] | None = None
        self._patient = False
        self._lock = threading.Lock()
        self._done = threading.Event()

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._asked.is_set()

    @property
    def exit_status(self) -> int:
        """128 + the signal's number: 143 for SIGTERM, 130 for Ctrl-C."""
        return 128 + self._signal

    def check(self) -> None:
        """Raises `Stopped` if a signal has come; called at safe points."""
        if self.requested:
            raise Stopped(signal.Signals(self._signal).name)

    def take_warning(self) -> bool:
        """Whether a warning has come since the last call; asked at safe points."""
        warned = self._warned.is_set()
        self._warned.clear()
        return warned

    @contextlib.contextmanager
    def protect(
        self, save: Callable[[], None] | None, *, patient: bool = False
    ) -> Iterator[None]:
        """Gives the block time to reach `check`, and saves for it if it does not.

        Args:
          save: runs in another thread while the main thread may be busy; saves what
            was last published. None: the block is not protected.
          patient: the block reaches `check` by itself, and its end may take any time,
            for instance because other processes save theirs.
        """
        self._save, self._patient = save, patient
        try:
            yield
        finally:
            with self._lock:
                self._save, self._patient = None, False

    def __enter__(self) -> "StopRequest":
        self._watches = threading.current_thread() is threading.main_thread()
        if not self._watches:
            return self
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._writer.fileno())
        self._old = {number: signal.signal(number, self._note) for number in SIGNALS}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        if not self._watches:
            return
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._writer.close()
        self._thread.join(timeout=1.0)
        self._reader.close()

    def _note(self, number: int, _) -> None:
        """Python's handler: exists so that C's writes the number to the socket."""
        if number in self._warnings:
            return
        self._signal = self._signal or number
        self._asked.set()

    def _watch(self) -> None:
        received = 0
        while not received:
            data = self._reader.recv(1)
            if not data:
                return
            if data[0] in self._warnings:
                self._warned.set()
                name = signal.Signals(data[0]).name
                _log.warning("%s: saving after this step, then going on.", name)
            elif data[0] in self._old:
                received = data[0]
        self._signal = self._signal or received
        self._asked.set()
        name = signal.Signals(received).name
        if self._save is not None or self._patient:
            _log.warning("%s: stopping at the next safe point.", name)
            if self._done.wait(None if self._patient else self._grace):
                return
        with self._lock:
            if self._done.is_set():
                return
            try:
                if self._save is not None:
                    self._save()
            except Exception:
                _log.exception("The state was not saved; older checkpoints stand.")
            _log.warning("%s: stopped.", name)
            # The main thread may be inside a compilation that cannot be interrupted.
            os._exit(self.exit_status)
