"""Feedback without the teacher's paths, also for who could not be graded."""

from __future__ import annotations

import getpass
import io
import sys
import zipfile
from pathlib import Path

import pytest

from lora_lessons.app.classroom import feedback, isolation
from lora_lessons.app.classroom.course import ClassroomError, Course
from lora_lessons.app.classroom.feedback import without_paths, write_feedback, zipped

LESSON = "01_a"


def test_no_folder_of_the_teachers_is_left(tmp_path):
    course = tmp_path / "course <&>"
    places = [course, Path.home(), sys.prefix, sys.base_prefix, isolation.PACKAGE.parent]
    page = "".join(f"<p>{place}/x.py {str(place).replace('&', '&amp;')}</p>" for place in places)
    page += f"/tmp/ll-abc_d/ada/x /home/{getpass.getuser()}/y"
    shown = without_paths(page, course)
    assert not [place for place in places if str(place) in shown]
    assert "ll-abc" not in shown and f"/home/{getpass.getuser()}" not in shown
    assert shown.count("x.py") == 5


def test_a_zip_of_the_same_text_is_the_same_file():
    assert zipped({"a": "x"}) == zipped({"a": "x"})
    with zipfile.ZipFile(io.BytesIO(zipped({"a/b.html": "ä"}))) as archive:
        assert archive.read("a/b.html").decode() == "ä"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """One student who was graded and one who could not be."""
    monkeypatch.setattr(feedback, "refresh", lambda root, lesson: None)
    monkeypatch.setattr(feedback, "_pages_of_nbgrader", lambda course, lesson: [])
    course = Course(tmp_path)
    for student in ("ada", "bob"):
        course.submitted_path(student, LESSON).parent.mkdir(parents=True)
    course.autograded_path("ada", LESSON).parent.mkdir(parents=True)
    course.autograded_path("ada", LESSON).touch()
    page = tmp_path / "feedback" / "ada" / LESSON / f"{LESSON}.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"Score {tmp_path}/x")
    log = tmp_path / "grading" / LESSON / "bob.log"
    log.parent.mkdir(parents=True)
    log.write_text("ValueError: is not a notebook")
    (tmp_path / "roster.csv").write_text("id,name,moodle\nbob,Bob Smith,4712\n")
    return course


def page_of(path: Path, name: str = f"{LESSON}.html") -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode()


def test_one_zip_a_student_and_a_page_after_a_failure(course):
    said = write_feedback(course, LESSON)
    zips = course.root / "feedback" / "zips"
    assert page_of(zips / LESSON / "ada.zip") == "Score .../x"
    assert "could not be graded: is not a notebook" in page_of(zips / LESSON / "bob.zip")
    assert said[-1].endswith("2 zips, one a student")
    inner = f"Bob Smith_4712_assignsubmission_file_/{LESSON}.html"
    assert "could not be graded" in page_of(zips / f"{LESSON}-moodle.zip", inner)


def test_an_old_page_is_not_given_for_a_newer_failure(course):
    course.autograded_path("ada", LESSON).unlink()
    write_feedback(course, LESSON)
    zips = course.root / "feedback" / "zips" / LESSON
    assert "could not be graded: it was not run yet" in page_of(zips / "ada.zip")


def test_nothing_handed_in_is_an_error(tmp_path):
    with pytest.raises(ClassroomError, match="nothing is handed in"):
        write_feedback(Course(tmp_path), LESSON)


def test_what_nbgrader_could_not_write_is_told_with_its_own_words(course, monkeypatch):
    monkeypatch.undo()
    (course.root / "nbgrader_config.py").write_text("c = get_config()\n")
    said = {"success": False, "log": "[ERROR] no template", "error": "Traceback"}
    monkeypatch.setattr(
        "nbgrader.apps.api.NbGraderAPI.generate_feedback", lambda self, lesson, force: said
    )
    (line,) = feedback._pages_of_nbgrader(course, LESSON)
    log = course.root / "grading" / f"{LESSON}-feedback.log"
    assert str(log) in line and log.read_text() == "[ERROR] no templateTraceback"
