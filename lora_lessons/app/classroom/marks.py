"""The marks as csv: one for people, one that Moodle and one that Canvas imports.

marks.csv has one row a student: for each lesson that was collected the marks, what late work lost,
and whether written answers are still to be read. The platforms' files leave a lesson empty for a
student whose written answers are not read, so that no half mark is published.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from .course import ClassroomError, Course, write_whole
from .late import refresh
from .roster import Student, read_roster

NOT_READ, NOTHING, FAILED = "not read", "nothing handed in", "not graded"


@dataclass(frozen=True)
class Mark:
    """What one student has for one lesson."""

    score: float  # with the penalty taken off
    penalty: float
    state: str  # "", NOT_READ, NOTHING or FAILED


def marks_of(course: Course) -> tuple[dict[str, float], dict[str, dict[str, Mark]]]:
    """({lesson: possible}, {student: {lesson: mark}}) for the lessons that were collected."""
    from nbgrader.api import Gradebook  # only a teacher has nbgrader

    lessons = [name for name in course.lessons() if course.students(name)]
    if not lessons:
        raise ClassroomError("nothing is collected yet, so there are no marks")
    for lesson in lessons:
        refresh(course.root, lesson)
    with Gradebook(course.gradebook(), "lora-lessons") as book:
        possible = {name: float(book.find_assignment(name).max_score) for name in lessons}
        known = {*read_roster(course.root), *(s for name in lessons for s in course.students(name))}
        marks = {
            student: {name: _mark(course, book, student, name) for name in lessons}
            for student in sorted(known)
        }
    return possible, marks


def _mark(course: Course, book: Any, student: str, lesson: str) -> Mark:
    from nbgrader.api import MissingEntry

    if student not in course.students(lesson):
        return Mark(0.0, 0.0, NOTHING)
    if not course.autograded_path(student, lesson).exists():
        return Mark(0.0, 0.0, FAILED)
    try:
        submission = book.find_submission(lesson, student)
    except MissingEntry:
        return Mark(0.0, 0.0, FAILED)
    penalty = float(submission.late_submission_penalty or 0.0)
    state = NOT_READ if submission.needs_manual_grade else ""
    return Mark(max(0.0, round(submission.score - penalty, 2)), penalty, state)


def write_marks(course: Course) -> list[str]:
    """Write marks.csv, moodle.csv and canvas.csv; return what to tell the teacher."""
    possible, marks = marks_of(course)
    roster = read_roster(course.root)
    people = {student: roster.get(student, Student(student)) for student in marks}
    tables = {
        "marks.csv": _for_people(possible, marks, people),
        "moodle.csv": _for_moodle(possible, marks, people),
        "canvas.csv": _for_canvas(possible, marks, people),
    }
    for name, rows in tables.items():
        write_whole(course.root / name, _csv(rows))
    said = [f"{', '.join(tables)}: {len(marks)} students, {len(possible)} lessons"]
    for lesson in possible:
        for state in (NOT_READ, FAILED, NOTHING):
            who = [student for student, row in marks.items() if row[lesson].state == state]
            if who:
                said.append(f"{lesson}: {state}: {', '.join(who)}")
    return said


def _for_people(possible: dict[str, float], marks: Any, people: dict[str, Student]) -> list[Any]:
    head: list[Any] = ["id", "last_name", "first_name", "email"]
    for lesson, points in possible.items():
        head += [f"{lesson} ({points:g})", f"{lesson} late", f"{lesson} note"]
    rows = [[*head, f"total ({sum(possible.values()):g})", "written answers not read"]]
    for student, row in marks.items():
        who = people[student]
        cells: list[Any] = [student, who.last_name, who.first_name, who.email]
        for mark in row.values():
            cells += [mark.score, -mark.penalty or 0, mark.state]
        unread = sum(mark.state == NOT_READ for mark in row.values())
        rows.append([*cells, round(sum(mark.score for mark in row.values()), 2), unread or ""])
    return rows


def _for_moodle(possible: dict[str, float], marks: Any, people: dict[str, Student]) -> list[Any]:
    """Grades > Import > CSV file: map the first column to "ID number" or the last to "Email".

    "-" is no mark: an empty cell of a new grade item becomes 0. Moodle gives the marks of a row
    that names nobody to the student above, so addresses are there only if none is missing.
    """
    emails = {student: people[student].email for student in marks}
    by_email = all(emails.values())
    rows: list[Any] = [["ID number", *possible, *(["Email address"] if by_email else [])]]
    for student, row in marks.items():
        cells = [mark.score if _is_settled(mark) else "-" for mark in row.values()]
        rows.append([student, *cells, *([emails[student]] if by_email else [])])
    return rows


def _for_canvas(possible: dict[str, float], marks: Any, people: dict[str, Student]) -> list[Any]:
    """Grades > Import: the columns that Canvas itself exports, and the points of each."""
    fixed = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    rows: list[Any] = [
        [*fixed, *possible],
        ["    Points Possible", "", "", "", "", *possible.values()],
    ]
    for student, row in marks.items():
        who = people[student]
        name = f"{who.last_name}, {who.first_name}" if who.last_name else student
        about = [name, who.canvas, student, who.login or student, who.section]
        rows.append([*about, *map(_published, row.values())])
    return rows


def _is_settled(mark: Mark) -> bool:
    return mark.state not in (NOT_READ, FAILED)


def _published(mark: Mark) -> Any:
    return mark.score if _is_settled(mark) else ""


def _csv(rows: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(
        [[_safe(cell) for cell in row] for row in rows]
    )
    return text.getvalue()


def _safe(cell: Any) -> Any:
    """A name that begins like a formula must not become one in a spreadsheet."""
    formula = isinstance(cell, str) and len(cell) > 1 and cell[0] in "=+-@"
    return f"'{cell}" if formula else cell
