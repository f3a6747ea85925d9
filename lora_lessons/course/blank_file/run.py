"""Run the blank-file test: look at the text, then put it to the tests in a process of its own."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

from .source import Refused, look, read_source

SECONDS = 90.0
ENDED = "The process of the test ended without an answer. Run it again."


@dataclass(frozen=True)
class Result:
    """One test of the contract: its title, and the message where it failed ("" where it passed)."""

    test: str
    failed: str = ""


@dataclass(frozen=True)
class Report:
    """All results of one file, in order."""

    results: Sequence[Result]

    @property
    def passed(self) -> int:
        """How many tests passed."""
        return sum(not result.failed for result in self.results)

    @property
    def right(self) -> bool:
        """True where every test passed."""
        return bool(self.results) and self.passed == len(self.results)

    @property
    def first_failure(self) -> str:
        """The title and the message of the first test that failed, or ""."""
        return next((f"{r.test}: {r.failed}" for r in self.results if r.failed), "")

    def __str__(self) -> str:
        lines = [
            f"failed  {r.test}\n        {r.failed}" if r.failed else f"passed  {r.test}"
            for r in self.results
        ]
        return "\n".join([*lines, f"{self.passed} of {len(self.results)} tests passed"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li>{'<b>failed</b>' if r.failed else 'passed'}: {escape(r.test)}"
            f"{f'<br>{escape(r.failed)}' if r.failed else ''}</li>"
            for r in self.results
        )
        return f"<p>{self.passed} of {len(self.results)} tests passed</p><ol>{items}</ol>"


def blank_file_test(handed_in: str | Path, seed: int = 0, seconds: float = SECONDS) -> Report:
    """The report on a file, by its path, or on its text.

    The file runs in a process of its own, with limits on time, memory and what it may open. A file
    that breaks the rules (`source`) does not run: its report has one result.
    """
    try:
        text = read_source(handed_in)
        look(text)
    except Refused as refused:
        return Report([Result("the file keeps the rules", str(refused))])
    answer = _Server.ask({"text": text, "seed": int(seed), "seconds": seconds})
    if "stopped" in answer:
        return Report([Result("the file comes to an end", answer["stopped"])])
    return Report([Result(**row) for row in answer["rows"]])


class _Server:
    """The process with torch and PEFT in it: started when first asked, and again if it died."""

    process: subprocess.Popen[str] | None = None
    lock = threading.Lock()

    @classmethod
    def ask(cls, request: dict) -> dict:
        with cls.lock:
            for _ in range(2):
                process = cls._running()
                try:
                    process.stdin.write(json.dumps(request) + "\n")
                    process.stdin.flush()
                    line = process.stdout.readline()
                except OSError:
                    line = ""
                if line:
                    return json.loads(line)
                cls.stop()
            return {"stopped": ENDED}

    @classmethod
    def _running(cls) -> subprocess.Popen[str]:
        if cls.process is None or cls.process.poll() is not None:
            cls.stop()
            root = str(Path(__file__).resolve().parents[3])
            paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
            # a copied process cannot use CUDA, which PyTorch would try for a random state
            settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            cls.process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | settings,
            )
        return cls.process

    @classmethod
    def stop(cls) -> None:
        """End the process, if there is one."""
        process, cls.process = cls.process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()
            process.wait()


stop = _Server.stop
atexit.register(stop)
