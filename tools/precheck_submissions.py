"""Look at submissions before nbgrader does: what would void them, and whose numbers they answer.

    python tools/precheck_submissions.py release 01_rank_decomposition

nbgrader does not grade a notebook with one duplicated cell, reports it as "old metadata", and
still writes a 0. Here the student, the cell and the cure are named. So is a notebook that says
another student's id, and an answer that is right for another student's numbers. Nothing of a
submission is run. Exits 1 if there is anything.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STUDENT = re.compile(r"^STUDENT *= *(['\"])(.*?)\1", re.MULTILINE)
# What a notebook needs only to hide from the package that it is graded, or whose it is.
HIDING = ("NBGRADER_EXECUTION", "chdir", "_handed_in_by")
ARITHMETIC = (ast.Tuple, ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.Load)


def read_cells(path: Path) -> dict[str | None, list[str]]:
    """Return {nbgrader id: texts of its cells}; other cells are under None.

    Raises ValueError if the file is no notebook.
    """
    found: dict[str | None, list[str]] = {}
    try:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id")
            found.setdefault(name, []).append("".join(cell["source"]))
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError("is not a notebook: ask for the file again") from None
    return found


def exercise_cells(path: Path) -> Counter[str]:
    """Count the cells of a notebook by nbgrader id."""
    return Counter({name: len(texts) for name, texts in read_cells(path).items() if name})


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


def written_id(submission: Path) -> str | None:
    """The id that the notebook says: "" where it is left empty, None without such a line."""
    found = STUDENT.search("\n".join(read_cells(submission).get(None, [])))
    return found and found[2]


def hiding(submission: Path) -> list[str]:
    """Name what may be there to change whose numbers are graded."""
    text = "\n".join(part for texts in read_cells(submission).values() for part in texts)
    return [f"holds {word!r}: look what for" for word in HIDING if word in text]


def foreign_id(submission: Path, student: str) -> list[str]:
    """Say if the notebook holds another id than that of the student who handed it in."""
    from lora_lessons.course.student import clean_id

    written = written_id(submission)
    if written is None or clean_id(written) == clean_id(student):
        return []
    whose = f"says STUDENT = {written!r}" if written else "has no id after STUDENT"
    return [f"{whose}: its own numbers are graded as those of {student!r}"]


def literal_answer(source: str) -> tuple[float, ...] | None:
    """The numbers that an answer's one `return` holds; None if there is more than arithmetic."""
    try:
        returned = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Return)]
        (value,) = filter(None, returned)
        nodes = list(ast.walk(value))
        if any(isinstance(n, ast.Pow) or not isinstance(n, ARITHMETIC) for n in nodes):
            return None
        numbers = eval(compile(ast.Expression(value), "<answer>", "eval"), {})
    except (SyntaxError, ValueError, TypeError, ArithmeticError):
        return None
    return numbers if isinstance(numbers, tuple) else (numbers,)


def copied(submissions: dict[str, Path], number: str) -> Iterator[str]:
    """Name each answer that is wrong for its student and right for another one's numbers."""
    import lora_lessons as ll
    from lora_lessons.course.checks.own import agree

    for exercise in ll.lesson(number).exercises.values():
        if exercise.own is None:
            continue
        own = exercise.own
        right = {student: own.right(**own.of(student, number)) for student in submissions}
        for student, path in submissions.items():
            texts: list[Any] = read_cells(path).get(exercise.name, [""])
            answer = literal_answer(texts[0])
            if (
                answer is None
                or len(answer) != len(right[student])
                or agree(answer, right[student])
            ):
                continue
            owners = [other for other in submissions if agree(answer, right[other])]
            if owners:
                yield f"{student}: {exercise.name} answers the numbers of {', '.join(owners)}"


def precheck(course: Path, lesson: str) -> list[str]:
    """Return one line for each fault in submitted/STUDENT/LESSON/ of the course folder."""
    released = course / "release" / lesson / f"{lesson}.ipynb"
    if not released.exists():
        return [f"no release of {lesson!r} in {course}: run `make release` first"]
    lines, readable = [], {}
    for folder in sorted((course / "submitted").glob(f"*/{lesson}")):
        student, path = folder.parent.name, folder / released.name
        found = faults(path, released)
        if not found:
            readable[student] = path
            found = foreign_id(path, student) + hiding(path)
        lines += [f"{student}: {released.name} {fault}" for fault in found]
    return lines + list(copied(readable, lesson[:2]))


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
