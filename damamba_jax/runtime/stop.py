"""Stopping on a signal, such as SIGTERM or Ctrl-C, within seconds and without loss.

Python runs its signal handlers only between bytecodes. During an XLA compilation or a
long step, a handler has to wait until that ends, which can take minutes. Here the
signal itself wakes a thread. This thread gives the main thread `grace_seconds` to reach
a safe point. Then it saves the state that the main thread published last, and ends the
process. A signal can also be a warning: then the main thread saves at its next safe
point and goes on.
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

# Signals that can be caught, and that end a program without a handler: a scheduler's
# warning, a closed terminal, Ctrl-C. Windows has only the first two.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)


class Stopped(Exception):
    """A signal asked the run to stop; this is raised at a safe point."""


class StopRequest:
    """A context manager that watches for `SIGNALS`.

    Python delivers signals only to the main thread; in another thread, this watches
    nothing.

    Outside `protect`, a signal ends the process at once, because there is nothing to
    lose. The exit status is then 128 + the signal's number, as shells expect.

    Args:
      grace_seconds: time that the main thread has to reach a safe point, seconds.
      warnings: signals that announce a later end and do not ask the run to stop, such
        as a cluster's early warning; see `take_warning`.
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
        """Exit status, 128 + the signal's number: 143 for SIGTERM, 130 for Ctrl-C."""
        return 128 + self._signal

    def check(self) -> None:
        """Raises `Stopped` if a signal has come; call this at safe points."""
        if self.requested:
            raise Stopped(signal.Signals(self._signal).name)

    def take_warning(self) -> bool:
        """Says whether a warning has come since the last call.

        Call this at safe points.
        """
        warned = self._warned.is_set()
        self._warned.clear()
        return warned

    @contextlib.contextmanager
    def protect(
        self, save: Callable[[], None] | None, *, patient: bool = False
    ) -> Iterator[None]:
        """Gives the block time to reach `check`; if it does not, its state is saved.

        Args:
          save: function that saves the state that was published last. It runs in
            another thread, while the main thread may be busy. `None` means that the
            block is not protected.
          patient: whether to wait for `check` without a limit of time, for instance
            because other processes are saving their part.
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
        """Handles a signal in Python.

        Python writes a signal's number to the socket only if it has a handler.
        """
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
                _log.warning("%s: the run saves after this step and goes on.", name)
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
                _log.exception("The state was not saved; older checkpoints are kept.")
            _log.warning("%s: stopped.", name)
            # The main thread may be inside a compilation that cannot be interrupted.
            os._exit(self.exit_status)
