"""A time limit for learner's code, so that an endless loop ends in a message.

In the main thread of Linux and macOS a signal rings. Elsewhere (Windows, another thread) a timer's
thread asks Python to raise the exception in the thread that is checked, which happens at its next
bytecode: a loop is ended, a single call into C (`time.sleep`, one large product) is waited for.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TooSlow(BaseException):
    """The answer ran past its time. Not an Exception: a learner's `except` must let it by."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in this thread after `seconds`."""
    said = f"It ran for more than {seconds:g} s. Is there an endless loop?"
    if not _has_signals():
        with _timers.limit(seconds, said):
            yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise TooSlow(said)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def without_limit() -> Iterator[None]:
    """Let what is inside take its time: it has a limit of its own, in another process."""
    if not _has_signals():
        with _timers.held():
            yield
        return
    left = signal.setitimer(signal.ITIMER_REAL, 0)[0]
    try:
        yield
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)


def _has_signals() -> bool:
    """Whether a timer's signal reaches this thread."""
    return (
        hasattr(signal, "setitimer")
        and hasattr(signal, "SIGALRM")
        and threading.current_thread() is threading.main_thread()
    )


class _Timer:
    """Raises an exception in the thread that made it, once, unless it is stopped before."""

    def __init__(self, said: str) -> None:
        self.thread, self.lock, self.rung = threading.get_ident(), threading.Lock(), False
        text = {"__init__": lambda error: BaseException.__init__(error, said)}
        self.error = type("TooSlow", (TooSlow,), text)  # Python takes a class, not an object

    def start(self, seconds: float) -> None:
        """Begin to wait."""
        self.until, self.running = time.monotonic() + seconds, True
        self.waiting = threading.Timer(seconds, self._ring)
        self.waiting.daemon = True
        self.waiting.start()

    def _ring(self) -> None:
        with self.lock:
            if self.running:
                self.rung, self.running = True, False
                _raise_in(self.thread, self.error)

    def stop(self) -> float:
        """Wait no more; return the seconds that were left. An exception on its way is recalled."""
        with self.lock:
            self.running = False
            self.waiting.cancel()
        if self.rung:
            _recall(self.thread)
        return max(0.0, self.until - time.monotonic())


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Let `error` be raised in a thread at its next bytecode, in place of one on its way."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


class _Recalled(BaseException):
    """Takes the place of an exception that is not wanted any more."""


def _recall(thread: int) -> None:
    """Let nothing be on its way to this thread.

    Another exception takes its place, and is caught. To take one away (NULL) leaves Python 3.11
    with a flag that says that one is there, and it hangs on that where a profiler runs.
    """
    try:
        _raise_in(thread, _Recalled)
        while True:
            pass
    except _Recalled:
        return


class _OfThread(threading.local):
    """The timers that run in each thread, the innermost last."""

    running: list[_Timer]

    def __init__(self) -> None:
        self.running = []

    @contextmanager
    def limit(self, seconds: float, said: str) -> Iterator[None]:
        """Raise after `seconds`."""
        timer = _Timer(said)
        self.running.append(timer)
        timer.start(seconds)
        try:
            yield
        finally:
            timer.stop()
            self.running.remove(timer)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the innermost timer stand still."""
        timer = self.running[-1] if self.running else None
        left = timer.stop() if timer else 0.0
        try:
            yield
        finally:
            if timer and left:
                timer.start(left)


_timers = _OfThread()
