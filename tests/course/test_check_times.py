"""The benchmark of the checks: its arithmetic, and the pages that name its numbers."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

import pytest

import lora_lessons as ll
from benchmarks import checks, common
from lora_lessons.course import progress

ROOT = Path(__file__).resolve().parents[2]
STORED = {
    (number, name): row
    for number, lesson in common.load("checks").items()
    for name, row in lesson["checks"].items()
}


def test_a_check_is_timed_on_the_right_answer_and_no_progress_is_written(monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *what: pytest.fail(f"recorded {what}"))
    exercises = ll.lesson("01").exercises
    for name in ("best_rank_k", "my_budget"):  # drawn anew, and a student's own numbers
        row = checks.measure("01", exercises[name], calls=2)
        assert set(row) == {"seconds", "processor_seconds", "first"}
        assert all(seconds > 0 for seconds in row.values())
    monkeypatch.setattr(checks, "solution", lambda *which: lambda *given: None)
    with pytest.raises(AssertionError, match="best_rank_k: wrong"):
        checks.measure("01", exercises["best_rank_k"], calls=2)


def test_only_a_check_above_the_limit_is_marked():
    row = {"seconds": 0.5, "processor_seconds": checks.LIMIT, "first": 1.0}
    assert checks.line("01", "x", row).endswith("1000.0")
    assert checks.line("01", "x", row | {"processor_seconds": 0.021}).endswith("above 20 ms")


def test_the_pages_say_what_is_stored():
    used = [row["processor_seconds"] for row in STORED.values()]
    assert max(used) <= checks.LIMIT
    page = " ".join((ROOT / "docs" / "teaching.md").read_text(encoding="utf-8").split())
    most, middle = re.search(r"(\d+) ms at most and in the middle ([\d.]+) \(", page).groups()
    assert (most, middle) == (f"{1e3 * max(used):.0f}", f"{1e3 * median(used):.1f}")
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"A check takes {1e3 * checks.LIMIT:.0f} ms at most" in guide


def test_what_is_stored_are_checks_of_this_course():
    assert all(name in ll.lesson(number).exercises for number, name in STORED)
