"""Feedback as one zip a student: nbgrader's page, without the teacher's paths.

Who could not be graded gets a page that says so, and why.
"""

from __future__ import annotations

import getpass
import io
import re
import sys
import tempfile
import zipfile
from html import escape
from pathlib import Path

from . import isolation
from .course import ClassroomError, Course, write_whole
from .late import refresh
from .roster import Student, read_roster

FAILED_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{lesson}</title></head>
<body><h1>{lesson}</h1><p>Your notebook could not be graded: {reason}.</p>
<p>Ask your teacher what to hand in. Nothing of it is lost.</p></body></html>
"""


def write_feedback(course: Course, lesson: str) -> list[str]:
    """Write feedback/STUDENT/LESSON/ and feedback/zips/LESSON/STUDENT.zip; return what to tell.

    For Moodle there is one zip of all besides, LESSON-moodle.zip, for "Upload multiple feedback
    files": it holds whom the roster knows by a number.
    """
    students = course.students(lesson)
    if not students:
        raise ClassroomError(f"nothing is handed in for {lesson}, so there is no feedback")
    refresh(course.root, lesson)
    said = _pages_of_nbgrader(course, lesson)
    roster = read_roster(course.root)
    folder = course.root / "feedback" / "zips" / lesson
    for_moodle: dict[str, str] = {}
    for student in students:
        page = _page(course, student, lesson)
        write_whole(folder / f"{student}.zip", zipped({f"{lesson}.html": page}))
        who = roster.get(student, Student(student))
        if who.moodle:
            name = f"{who.name or student}_{who.moodle}_assignsubmission_file_"
            for_moodle[f"{name}/{lesson}.html"] = page
    if for_moodle:
        write_whole(folder.parent / f"{lesson}-moodle.zip", zipped(for_moodle))
        said.append(f"{folder.parent / f'{lesson}-moodle.zip'}: {len(for_moodle)} students")
    return [*said, f"{folder}: {len(students)} zips, one a student"]


def _pages_of_nbgrader(course: Course, lesson: str) -> list[str]:
    """Let nbgrader write its pages; say what it could not."""
    from nbgrader.apps.api import NbGraderAPI  # only a teacher has nbgrader
    from traitlets.config import PyFileConfigLoader

    graded = [s for s in course.students(lesson) if course.autograded_path(s, lesson).exists()]
    if not graded:
        return []
    config = PyFileConfigLoader("nbgrader_config.py", str(course.root)).load_config()
    config.CourseDirectory.root = str(course.root)
    result = NbGraderAPI(config=config).generate_feedback(lesson, force=True)
    if result["success"]:
        return []
    log = course.root / "grading" / f"{lesson}-feedback.log"
    write_whole(log, result["log"] + result.get("error", ""))
    return [f"nbgrader could not write every page, and says why in {log}"]


def _page(course: Course, student: str, lesson: str) -> str:
    """One student's page: nbgrader's without the teacher's paths, or why there is none."""
    path = course.root / "feedback" / student / lesson / f"{lesson}.html"
    if course.autograded_path(student, lesson).exists() and path.exists():
        page = without_paths(path.read_text("utf-8"), course.root)
    else:
        reason = _reason(course, student, lesson)
        page = FAILED_PAGE.format(lesson=lesson, reason=escape(reason))
        page = without_paths(page, course.root)
    write_whole(path, page)
    return page


def _reason(course: Course, student: str, lesson: str) -> str:
    from .grading import why_not  # it starts no worker

    path = course.root / "grading" / lesson / f"{student}.log"
    return why_not(path.read_text("utf-8")) if path.exists() else "it was not run yet"


def without_paths(page: str, course: Path) -> str:
    """The page without the folders of the teacher's machine, and without the teacher's name.

    A traceback holds the paths of the package and of Python; their last parts are enough.
    """
    homes = [str(Path.home()), sys.prefix, sys.base_prefix, str(isolation.PACKAGE.parent)]
    folders = {str(course), *homes, *(str(Path(home).resolve()) for home in homes)}
    for folder in sorted(folders - {"/"}, key=len, reverse=True):
        page = page.replace(folder, "...").replace(escape(folder), "...")
    temporary = re.escape(tempfile.gettempdir())  # where a submission had its room
    page = re.sub(rf"(?:/private)?{temporary}[\\/]+ll-[\w-]+", "...", page)
    return re.sub(rf"(/home/|/Users/){re.escape(getpass.getuser())}\b", r"\1...", page)


def zipped(files: dict[str, str]) -> bytes:
    """A zip of these {name: text}, with no time in it: the same text makes the same file."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return raw.getvalue()
