"""Look at submissions before nbgrader does, and say in plain words what would void them.

    python tools/precheck_submissions.py release 01_rank_decomposition

nbgrader does not grade a notebook with one duplicated cell, reports it as "old metadata", and
still writes a 0. Here the student, the cell and the cure are named. Exits 1 if there is anything.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path


def exercise_cells(path: Path) -> Counter[str]:
    """Count the cells of a notebook by nbgrader id; raises ValueError if it is no notebook."""
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        ids = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError("is not a notebook: ask for the file again") from None
    return Counter(filter(None, ids))


def faults(submission: Path, released: Path) -> list[str]:
    """Name everything in one submitted notebook that nbgrader would stumble over."""
    if not submission.exists():
        return [f"is missing: the file must be called {released.name}"]
    try:
        found = exercise_cells(submission)
    except ValueError as error:
        return [str(error)]
    expected = exercise_cells(released)
    twice = [f"has {n} cells {name!r}: delete the copies" for name, n in found.items() if n > 1]
    gone = [f"has no cell {name!r}: put it back from the release" for name in expected - found]
    return twice + gone


def precheck(course: Path, lesson: str) -> list[str]:
    """Return one line for each fault in submitted/STUDENT/LESSON/ of the course folder."""
    released = course / "release" / lesson / f"{lesson}.ipynb"
    if not released.exists():
        return [f"no release of {lesson!r} in {course}: run `make release` first"]
    folders = sorted((course / "submitted").glob(f"*/{lesson}"))
    return [
        f"{folder.parent.name}: {released.name} {fault}"
        for folder in folders
        for fault in faults(folder / released.name, released)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("course", type=Path, help="nbgrader's course folder, e.g. release")
    parser.add_argument("lesson", help="the assignment's name, e.g. 01_rank_decomposition")
    options = parser.parse_args(arguments)
    found = precheck(options.course, options.lesson)
    print("\n".join(found) or "every submission can be graded")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
