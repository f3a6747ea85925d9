"""How long the check of each exercise takes on the right answer.

    python benchmarks/checks.py                       # every lesson, results/checks.json
    python benchmarks/checks.py --lessons 03 04

A check runs under the guard and on inputs drawn anew each time. The first call may load something;
it stands beside the median of the others. The wish is `LIMIT`, in seconds of the processor, which a
busy machine does not change much. A check above it is marked, and the command then ends with 1.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import lora_lessons as ll
from benchmarks.common import RESULTS, load, provenance, save
from lora_lessons.course.checks.core import RIGHT, Exercise, run_check
from lora_lessons.course.lesson import lesson_numbers
from lora_lessons.course.solution import KEY
from lora_lessons.course.student import ALONE

LIMIT = 0.020  # seconds


def solution(number: str, name: str) -> Any:
    """The right answer to an exercise, defined as the learner's notebook would define it."""
    scope = {"torch": torch, "math": math, "ll": ll, "__name__": "__main__"}
    exec(compile(json.loads(KEY.read_text("utf-8"))[number][name], "<answer>", "exec"), scope)
    return scope[name]


def measure(number: str, exercise: Exercise, calls: int = 20) -> dict[str, float]:
    """Seconds of a check: the first call's, and the medians of `calls` more.

    It bypasses `lesson.check`, which would write the learner's progress. Raises AssertionError if
    the answer is refused: that takes another time.
    """
    answer, wall, used = solution(number, exercise.name), [], []
    mine = exercise.own.of(ALONE, number) if exercise.own else None
    for seed in range(calls + 1):
        started, processor = time.perf_counter(), time.process_time()
        verdict = run_check(exercise, answer, seed, mine)
        wall.append(time.perf_counter() - started)
        used.append(time.process_time() - processor)
        if verdict.outcome != RIGHT:
            raise AssertionError(f"{exercise.name}: {verdict.outcome}. {verdict.message}")
    median = statistics.median
    return {
        "seconds": median(wall[1:]),
        "processor_seconds": median(used[1:]),
        "first": wall[0],
    }


def line(number: str, name: str, row: dict[str, float]) -> str:
    """One check as text, in milliseconds, marked if it is above the limit."""
    mark = "" if row["processor_seconds"] <= LIMIT else f"  above {1e3 * LIMIT:.0f} ms"
    seconds = (1e3 * row[key] for key in ("seconds", "processor_seconds", "first"))
    return f"{number} {name:28}" + "".join(f" {one:8.1f}" for one in seconds) + mark


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lessons", nargs="*", default=lesson_numbers())
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results, slow = load("checks"), 0
    print(f"{'':31} {'ms':>8} {'cpu ms':>8} {'first':>8}")
    for number in arguments.lessons:
        rows = {
            name: measure(number, exercise, arguments.calls)
            for name, exercise in ll.lesson(number).exercises.items()
        }
        for name, row in rows.items():
            print(line(number, name, row), flush=True)
        slow += sum(row["processor_seconds"] > LIMIT for row in rows.values())
        results[number] = {"provenance": provenance() | {"calls": arguments.calls}, "checks": rows}
    save("checks", results, arguments.out)
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
