"""What a released notebook says and a learner's own copy does not: points, and how to hand in.

Only a class has points, so they stand in no source. They are taken from nbgrader's metadata, so
what a student reads is what is given.
"""

from __future__ import annotations

import re
from fractions import Fraction

from nbformat import NotebookNode
from notebook_source import LessonError, grade_id, is_answer

# "### Exercise 3.1: the weight that the layer has (*core*, 4 minutes)"
HEADING = re.compile(
    r"^(### (?:Exercise|Question) [\d.]+: .*\d minutes?)(?:, (\S+) points?)?\)$", re.M
)
SHOWS_ANSWERS = re.compile(r"`lesson\.solution\.NAME\(\)`\s+shows\s+the\s+answer\.")
HANDING_IN = """\
**Handing in:** write your id between the quotes after `STUDENT =`. Choose *Restart Kernel and Run
All Cells*, look at the summary at the end, save, and hand in this file under its own name,
`{name}.ipynb`. Cells of your own may stand anywhere. Do not copy, split, merge or delete a cell
that has an exercise or a check, and leave the first code cell as it is."""


def with_classroom_text(lesson: NotebookNode, name: str) -> NotebookNode:
    """Write the points into headings and first cell, in place, and return the notebook.

    Raises LessonError if a graded cell has no heading of its own, or one with other points.
    """
    heading, worth = None, {}
    for cell in lesson.cells:
        if cell.cell_type == "markdown" and HEADING.search(cell.source):
            heading = cell
        if is_graded(cell):
            worth[grade_id(cell)] = (cell.metadata.nbgrader.points, is_answer(cell))
            _write_points(heading, grade_id(cell), cell.metadata.nbgrader.points)
            heading = None
    first = lesson.cells[0]
    first.source, found = SHOWS_ANSWERS.subn("Your teacher holds the solutions.", first.source)
    if found != 1:
        sentence = "`lesson.solution.NAME()` shows the answer."
        raise LessonError(f"{name}: the first cell must say once: {sentence}")
    first.source += f"\n\n{_total(list(worth.values()))}\n\n{HANDING_IN.format(name=name)}"
    return lesson


def is_graded(cell: NotebookNode) -> bool:
    """Tell whether the cell has points: a check, or a written answer."""
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def _write_points(heading: NotebookNode | None, name: str, points: float) -> None:
    found = HEADING.findall(heading.source) if heading else []
    if len(found) != 1:
        raise LessonError(f"{name} needs one heading above it that ends in '(… minutes)'")
    ((_, said),) = found
    if said and Fraction(said) != points:
        raise LessonError(f"{name} has {_points(points)}, and its heading says {said}")
    heading.source = HEADING.sub(rf"\1, {_points(points)})", heading.source)


def _total(worth: list[tuple[float, bool]]) -> str:
    """The sentence on all points: `worth` holds (points, whether a person reads the answer)."""
    written = sum(points for points, read in worth if read)
    every = sum(points for points, _ in worth)
    if not written:
        return f"**Points:** {every:g} in all. A check gives all points of its exercise, or none."
    return (
        f"**Points:** {every:g} in all. {every - written:g} for the code: a check gives all points "
        f"of its exercise, or none. {written:g} for the written answer, which your teacher reads."
    )


def _points(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"
