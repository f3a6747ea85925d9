"""A process that has torch and PEFT loaded, and runs each file in a copy of itself.

Loading both takes seconds; a copy takes a hundredth of one. For each file one line of JSON comes
in, and one goes out. Where there are no copies of processes (Windows) it runs one file, and ends.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from typing import IO, Any

FORKS = hasattr(os, "fork")


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Answer each request, {"text", "seed", "seconds"}, by {"rows"} or {"stopped": why}."""
    import peft  # noqa: F401

    from . import child  # noqa: F401

    for line in requests:
        asked = json.loads(line)
        folder = tempfile.mkdtemp(prefix="blank-file-")
        try:
            answer = _in_a_copy(asked, folder) if FORKS else _alone(asked, folder, replies)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        _reply(replies, answer)
        if not FORKS:
            return


def _reply(replies: IO[str], answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer) + "\n")
    replies.flush()


def _here(asked: dict[str, Any], folder: str) -> dict[str, Any]:
    from .child import judge

    return {"rows": judge(asked["text"], asked["seed"], folder)}


def _alone(asked: dict[str, Any], folder: str, replies: IO[str]) -> dict[str, Any]:
    """In this very process, which a timer ends, with an answer, if it takes too long."""

    def give_up() -> None:
        _reply(replies, _too_long(asked["seconds"]))
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    timer = threading.Timer(asked["seconds"], give_up)
    timer.daemon = True
    timer.start()
    try:
        return _here(asked, folder)
    finally:
        timer.cancel()


def _too_long(seconds: float) -> dict[str, Any]:
    return {"stopped": f"It ran for more than {seconds:g} s. Is there an endless loop?"}


def _in_a_copy(asked: dict[str, Any], folder: str) -> dict[str, Any]:
    reads, writes = os.pipe()
    copied = os.fork()
    if copied == 0:
        code = 1
        try:
            os.close(reads)
            os.setsid()  # so that all of it can be stopped at once
            result = json.dumps(_here(asked, folder)).encode()
            with os.fdopen(writes, "wb") as pipe:
                pipe.write(result)
            code = 0
        finally:
            os._exit(code)
    os.close(writes)
    told = _read(reads, time.monotonic() + asked["seconds"])
    if told is None:
        os.killpg(copied, signal.SIGKILL)
    status = os.waitpid(copied, 0)[1]
    if told is None:
        return _too_long(asked["seconds"])
    return json.loads(told) if told else {"stopped": _why_it_ended(status)}


def _read(pipe: int, until: float) -> bytes | None:
    """All that comes, or None where it takes too long."""
    parts = []
    with os.fdopen(pipe, "rb", buffering=0) as source:
        while (left := until - time.monotonic()) > 0:
            if select.select([source], [], [], left)[0]:
                part = source.read(65536)
                if not part:
                    return b"".join(parts)
                parts.append(part)
    return None


def _why_it_ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"The process was stopped by {signal.Signals(os.WTERMSIG(status)).name}: a limit."
    return "The process ended before the tests did."


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # what the learner's file prints must not be read as a reply
    sys.stdout = os.fdopen(1, "w", closefd=False)
    serve(sys.stdin, out)
