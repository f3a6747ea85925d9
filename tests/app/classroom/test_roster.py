"""The roster, and what Moodle and Canvas export in its place."""

from __future__ import annotations

import pytest

from lora_lessons.app.classroom.course import ClassroomError
from lora_lessons.app.classroom.roster import names_of, plain, read_roster

MOODLE = """Identifier,Full name,Email address,Status,Grade
Participant 4711,Ada Lovelace,ada@uni.example,Submitted,-
"""
CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Lesson 01 (55)
    Points Possible,,,,,16
"Lovelace, Ada",901,s-12,ada@uni.example,A,
"""


def read(tmp_path, text, encoding="utf-8"):
    (tmp_path / "roster.csv").write_bytes(text.encode(encoding))
    return read_roster(tmp_path)


def test_moodles_grading_worksheet_is_a_roster(tmp_path):
    (student,) = read(tmp_path, MOODLE, "utf-8-sig").values()
    assert (student.id, student.name, student.moodle) == ("ada", "Ada Lovelace", "4711")


def test_canvas_gradebook_is_a_roster(tmp_path):
    (student,) = read(tmp_path, CANVAS).values()
    assert (student.id, student.name, student.canvas) == ("s-12", "Ada Lovelace", "901")
    assert (student.login, student.section) == ("ada@uni.example", "A")


def test_without_a_roster_there_is_none(tmp_path):
    assert read_roster(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,email\nada,\nada,\n", "line 3: 'ada' is there twice"),
        ("id\na_b\n", "'a_b' is no id"),
        ("id\na/b\n", "'a/b' is no id"),
        ("name\nAda Lovelace\n", "'' is no id"),
        ("id\n", "names no student"),
        ("", "names no student"),
    ],
)
def test_a_mistake_in_the_roster_is_an_error_that_names_the_line(tmp_path, text, says):
    with pytest.raises(ClassroomError, match=says):
        read(tmp_path, text)


def test_names_are_compared_without_accents_and_marks(tmp_path):
    (student,) = read(tmp_path, "id,first_name,last_name\nz1,Zoë,O'Weiß\n").values()
    assert {"zoeoweiss", "oweisszoe", "z1"} == names_of(student)
    assert plain("Zoë O'Weiß") == "zoeoweiss"
