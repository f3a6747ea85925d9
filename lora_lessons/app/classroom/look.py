"""Look at submissions before nbgrader does: what is odd in them, and whose numbers they answer.

The student and the cure are named. So are cells that are there twice or not at all, a notebook that
says another student's id, an answer that is right for another student's numbers, and words that an
honest submission has no use for. Nothing of a submission is run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from ...course.student import clean_id
from .copies import copied
from .course import ClassroomError, Course
from .notebooks import MARKS, grade_id, is_check, lesson_of, read_notebook
from .suspects import suspect_words

STUDENT = re.compile(r"^STUDENT *= *(['\"])(.*?)\1", re.MULTILINE)
LARGE = 5_000_000  # bytes of a file: a lesson with all its plots has less
OBEYED_TAGS = {"skip-execution", "raises-exception"}
NOT_OURS = "is not the notebook that you handed out: its answers must be copied into that one"


def look(course: Course, lesson: str) -> list[str]:
    """One line for each thing that is odd in submitted/STUDENT/LESSON/.

    Raises ClassroomError without a release, and where nothing was handed in.
    """
    lesson, releases = course.lesson(lesson), course.releases()
    students = course.students(lesson)
    if not students:
        raise ClassroomError(f"nothing is handed in at {course.root}/submitted/*/{lesson}")
    lines, readable = [], {}
    for student in students:
        path = course.submitted_path(student, lesson)
        notebook, found = _read(path, lesson, releases)
        if notebook is not None:
            readable[student] = notebook
            found += faults(notebook, releases[lesson], lesson, releases)
            found += foreign_id(notebook, student)
            if lesson_of(notebook, releases) == lesson:  # else nothing of it is run as it stands
                found += suspect_words(notebook, releases[lesson])
        lines += [f"{student}: {path.name} {fault}" for fault in found]
    said = {student: written_id(notebook) or "" for student, notebook in readable.items()}
    return lines + list(copied(readable, said, lesson[:2]))


def _read(
    path: Path, lesson: str, releases: dict[str, NotebookNode]
) -> tuple[NotebookNode | None, list[str]]:
    """The notebook that will be graded, if there is one, and what is odd with its file."""
    found = []
    if not path.exists():
        others = sorted(path.parent.iterdir())
        usable = [p for p in others if p.suffix == ".ipynb" and _is_of(p, lesson, releases)]
        if len(usable) != 1:
            there = ", ".join(repr(p.name) for p in others)
            return None, [f"is missing: the file must have this name; there is {there or 'none'}"]
        found.append(f"is missing: {usable[0].name!r} is this lesson's, and is taken for it")
        path = usable[0]
    raw = path.read_bytes()
    if raw.startswith(tuple(MARKS)):
        found.append("starts with a byte-order mark: it is read all the same")
    if len(raw) > LARGE:
        found.append(f"has {len(raw) / 10**6:.0f} MB: its outputs are left out")
    try:
        return read_notebook(path), found
    except ValueError as error:
        return None, [*found, str(error)]


def _is_of(path: Path, lesson: str, releases: dict[str, NotebookNode]) -> bool:
    try:
        return lesson_of(read_notebook(path), releases) == lesson
    except ValueError:
        return False


def faults(
    notebook: NotebookNode, released: NotebookNode, lesson: str, releases: dict[str, NotebookNode]
) -> list[str]:
    """Name everything in one submitted notebook that is not as it was handed out."""
    whose = lesson_of(notebook, releases)
    if whose is None:
        return [NOT_OURS]
    if whose != lesson:
        return [f"is a notebook of {whose}: {NOT_OURS}"]
    return [*_odd_counts(notebook, released), *_odd_cells(notebook, released)]


def _odd_counts(notebook: NotebookNode, released: NotebookNode) -> Iterator[str]:
    """Cells that are there twice, not at all, or come from elsewhere."""
    found = Counter(filter(None, map(grade_id, notebook.cells)))
    expected = Counter(filter(None, map(grade_id, released.cells)))
    for name, count in found.items():
        if name not in expected:
            yield f"has a cell {name!r} that this lesson has not: it counts as a plain cell"
        elif count > 1:
            yield f"has {count} cells {name!r}: the last is graded; delete it if another is meant"
    for name in expected - found:
        if name.startswith("check_") and name.removeprefix("check_") in found:
            yield f"has no cell {name!r}: it is put back when graded"
        else:
            yield f"has no cell {name!r}: scores 0 unless you put it back from the release"


def _odd_cells(notebook: NotebookNode, released: NotebookNode) -> Iterator[str]:
    """Checks that were changed, cells out of their order, a changed beginning, and tags."""
    given = {grade_id(cell): cell for cell in released.cells if grade_id(cell)}
    names = [grade_id(cell) for cell in notebook.cells]
    last = {name: i for i, name in enumerate(names) if name}
    for name, cell in given.items():
        if name in last and is_check(cell):
            if notebook.cells[last[name]].source.strip() != cell.source.strip():
                yield f"has a changed cell {name!r}: it is put back when graded"
            answer = name.removeprefix("check_")
            if answer in names and names.index(answer) > last[name]:
                yield f"has {name!r} above its answer: scores 0 unless you move it below"
    setup = next(cell for cell in released.cells if cell.cell_type == "code")
    if all(cell.source.strip() != setup.source.strip() for cell in notebook.cells):
        yield "has another first code cell: the one that you handed out is run before it"
    for tag in sorted({tag for cell in notebook.cells for tag in _tags(cell)} & OBEYED_TAGS):
        yield f"has the tag {tag!r}: it is not obeyed"


def _tags(cell: NotebookNode) -> list[str]:
    tags = cell.metadata.get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def written_id(notebook: NotebookNode) -> str | None:
    """The id that the notebook says: "" where it is left empty, None without such a line."""
    plain = [cell.source for cell in notebook.cells if grade_id(cell) is None]
    found = STUDENT.search("\n".join(plain))
    return found and found[2]


def foreign_id(notebook: NotebookNode, student: str) -> list[str]:
    """Say if the notebook holds another id than that of the student who handed it in."""
    written = written_id(notebook)
    if written is None or clean_id(written) == clean_id(student):
        return []
    whose = f"says STUDENT = {written!r}" if written else "has no id after STUDENT"
    return [f"{whose}: its own numbers are graded as those of {student!r}"]
