"""Look at submissions before nbgrader does: what would void them, and whose numbers they answer.

    python tools/precheck_submissions.py release 01_rank_decomposition

nbgrader writes a 0 for a file with another name, and for one that is no notebook. Here the student
and the cure are named. So are cells that are there twice or not at all, a notebook that says
another student's id, an answer that is right for another student's numbers, and words that an
honest submission has no use for. Nothing of a submission is run. Exits 1 if there is anything.
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
# What a notebook needs only to hide from the package that it is graded, or whose it is; to change
# the judge; to read the teacher's files; or to end the kernel.
HIDING = (r"NBGRADER_EXECUTION", r"chdir", r"_handed_in_by")
JUDGE = (r"\.require\b", r"\bVerdict\b", r"run_check", r"\b_judge\b", r"\blesson *=(?!=)")
FILES = (r"\.\./", r"\.parents?\b", r"gradebook", r"key\.json", r"solution_source", r"/proc\b")
ENDING = (r"\b_exit\b", r"\bos\.(?:kill|abort)\b")
SUSPECT = [re.compile(words) for words in (*HIDING, *JUDGE, *FILES, *ENDING)]
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


def code_of(path: Path) -> str:
    """The text of all code cells of a notebook."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def is_notebook(path: Path) -> bool:
    """Tell whether there is such a file, and it holds a notebook's cells."""
    try:
        return bool(read_cells(path))
    except (FileNotFoundError, ValueError):
        return False


def exercise_cells(path: Path) -> Counter[str]:
    """Count the cells of a notebook by nbgrader id."""
    return Counter({name: len(texts) for name, texts in read_cells(path).items() if name})


def faults(submission: Path, released: Path) -> list[str]:
    """Name everything in one submitted notebook that nbgrader would stumble over."""
    if not submission.exists():
        there = ", ".join(repr(path.name) for path in sorted(submission.parent.iterdir()))
        return [f"is missing: the file must be called {released.name}; there is {there or 'none'}"]
    try:
        found = exercise_cells(submission)
    except ValueError as error:
        return [str(error)]
    if not found:
        return ["is not the notebook that you handed out: its answers must be copied into that one"]
    return list(_odd_cells(found, exercise_cells(released)))


def _odd_cells(found: Counter[str], expected: Counter[str]) -> Iterator[str]:
    for name, count in found.items():
        if count > 1:
            yield f"has {count} cells {name!r}: the last is graded; delete it if another is meant"
    for name in expected - found:
        if name.startswith("check_") and name.removeprefix("check_") in found:
            yield f"has no cell {name!r}: it is put back when graded"
        else:
            yield f"has no cell {name!r}: scores 0 unless you put it back from the release"


def written_id(submission: Path) -> str | None:
    """The id that the notebook says: "" where it is left empty, None without such a line."""
    found = STUDENT.search("\n".join(read_cells(submission).get(None, [])))
    return found and found[2]


def suspect_words(submission: Path, released: Path) -> list[str]:
    """Name what stands more often in a submission's code than in the release, and should not."""
    code, given = code_of(submission), code_of(released)
    found = [(words.findall(code), words.findall(given)) for words in SUSPECT]
    more = [here[0] for here, there in found if len(here) > len(there)]
    return [f"holds {word!r}: look what for" for word in more]


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
    """Name each answer that is wrong for its student and right for somebody else's numbers.

    Others are whoever handed in, the id that the notebook says, and "self-study", whose answers are
    public.
    """
    import lora_lessons as ll
    from lora_lessons.course.student import ALONE, clean_id

    said = [clean_id(written_id(path) or "") for path in submissions.values()]
    names = list(dict.fromkeys([*submissions, *said, ALONE]))
    for exercise in ll.lesson(number).exercises.values():
        if exercise.own is None:
            continue
        right = {name: exercise.own.right(**exercise.own.of(name, number)) for name in names}
        for student, path in submissions.items():
            texts: list[Any] = read_cells(path).get(exercise.name, [""])
            fits = _fitting(literal_answer(texts[-1]), right)
            if fits and student not in fits:
                owners = [name for name in fits if name in submissions] or fits
                yield f"{student}: {exercise.name} answers the numbers of {', '.join(owners)}"


def _fitting(answer: tuple[float, ...] | None, right: dict[str, tuple[float, ...]]) -> list[str]:
    """Those whose right answer this is."""
    from lora_lessons.course.checks.own import agree

    if answer is None:
        return []
    return [who for who, it in right.items() if len(it) == len(answer) and agree(answer, it)]


def precheck(course: Path, lesson: str) -> list[str]:
    """Return one line for each fault in submitted/STUDENT/LESSON/ of the course folder."""
    released = course / "release" / lesson / f"{lesson}.ipynb"
    if not released.exists():
        return [f"no release of {lesson!r} in {course}: run `make release` first"]
    lines, readable = [], {}
    for folder in sorted((course / "submitted").glob(f"*/{lesson}")):
        student, path = folder.parent.name, folder / released.name
        found = faults(path, released)
        if is_notebook(path):
            readable[student] = path
            found += foreign_id(path, student) + suspect_words(path, released)
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
