"""A time limit for learner's code, so that an endless loop ends in a message."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TooSlow(BaseException):
    """The answer ran past its time. Not an Exception: a learner's `except` must let it by."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in the main thread after `seconds`; without signals (Windows) no limit holds.

    There JupyterLab's stop button ends the cell.
    """
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not usable:
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise TooSlow(f"It ran for more than {seconds:g} s. Is there an endless loop?")

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
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    left = signal.setitimer(signal.ITIMER_REAL, 0)[0] if usable else 0.0
    try:
        yield
    finally:
        if usable and left:
            signal.setitimer(signal.ITIMER_REAL, left)
