"""How long a lesson takes from the start of its kernel to its first figure.

    python benchmarks/opening.py                 # every lesson, results/opening.json
    python benchmarks/opening.py --lessons 02 05

Each lesson's cells run in order in an IPython of their own, until one shows a picture. Seconds are
those of the processor, which a busy machine does not change much, and of the clock; the start of
Python and IPython is in both. The wish is `LIMIT` on the clock of two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

LIMIT = 6.0  # seconds
PICTURES = ("image/png", "image/svg+xml")


class Shown(BaseException):
    """The first picture is there: no cell runs any more."""


def is_picture(data: dict[str, Any]) -> bool:
    """Whether an output holds an image, by itself or in a page's piece."""
    return any(kind in data for kind in PICTURES) or "<img" in str(data.get("text/html", ""))


def code_of(number: str) -> list[str]:
    """A lesson's cells of code."""
    from notebook_source import read_source

    (source,) = (ROOT / "solutions").glob(f"{number}_*.py")
    return [cell.source for cell in read_source(source).cells if cell.cell_type == "code"]


def open_lesson(code: list[str]) -> dict[str, Any]:
    """Run a lesson's cells until the first picture, in this process.

    The cells are given: a kernel reads no notebook, and importing what does takes seconds.
    """
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    class Publisher(DisplayPublisher):
        def publish(self, data: dict[str, Any], *_: Any, **__: Any) -> None:
            if is_picture(data):
                raise Shown

    shell = InteractiveShell.instance(display_pub_class=Publisher)
    for number, cell in enumerate(code, start=1):
        result = shell.run_cell(cell)
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, Shown):
            return {"cells": number, **used()}
        if error is not None:
            raise error
        if is_picture(getattr(result.result, "_repr_mimebundle_", dict)() or {}):
            return {"cells": number, **used()}
    raise LookupError("the lesson shows no picture")


def used() -> dict[str, Any]:
    """What the process has used so far, and the large libraries that it has imported."""
    large = ("torch", "transformers", "peft", "matplotlib", "sklearn")
    return {
        "processor_seconds": time.process_time(),
        "imported": [name for name in large if name in sys.modules],
    }


def measure(number: str) -> dict[str, Any]:
    """One lesson in a process of its own, in an empty folder."""
    command, code = [sys.executable, __file__, "--child", number], json.dumps(code_of(number))
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        started = time.perf_counter()
        done = subprocess.run(
            command, cwd=folder, env=environment, input=code, capture_output=True, text=True
        )
        seconds = time.perf_counter() - started
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"cells"')]
    if not lines:
        raise RuntimeError(f"lesson {number}: {done.stderr[-1500:]}{done.stdout[-1500:]}")
    return {"seconds": seconds, **json.loads(lines[-1])}


def main() -> int:
    """Read the command line and do what it says."""
    from benchmarks.common import RESULTS, load, provenance, save
    from lora_lessons.course.lesson import lesson_numbers

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lessons", nargs="*", default=lesson_numbers())
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results, slow = load("opening"), 0
    for number in arguments.lessons:
        row = measure(number)
        results[number] = row | {"provenance": provenance() | {"load_average": os.getloadavg()[0]}}
        slow += row["processor_seconds"] > LIMIT
        print(
            f"{number}  {row['seconds']:6.1f} s  processor {row['processor_seconds']:6.1f} s"
            f"{'  above ' + str(LIMIT) if row['processor_seconds'] > LIMIT else ''}"
            f"  {row['cells']} cells  {', '.join(row['imported'])}",
            flush=True,
        )
        save("opening", results, arguments.out)
    return int(slow > 0)


if __name__ == "__main__":
    if "--child" in sys.argv:
        print("\n" + json.dumps(open_lesson(json.load(sys.stdin))), flush=True)
        os._exit(0)
    sys.exit(main())
