"""The marks as csv. A whole term's are in test_semester.py.

What the platforms take is told by their importers, which were read: Canvas's
lib/gradebook_importer.rb, and Moodle's grade/import/csv/classes/load_data.php.
"""

from __future__ import annotations

import csv
import io

import pytest

from lora_lessons.app.classroom import marks
from lora_lessons.app.classroom.course import ClassroomError, Course
from lora_lessons.app.classroom.marks import FAILED, NOT_READ, NOTHING, Mark, write_marks
from lora_lessons.app.classroom.roster import Student

ROSTER = """id,first_name,last_name,email,canvas,login
ada,Ada,Lovelace,ada@uni.example,901,ada01
bob,Bob,=cmd(),bob@uni.example,902,
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Three students and two lessons; returns {file: rows} and what was said."""
    (tmp_path / "roster.csv").write_text(ROSTER)
    rows = {
        "ada": {"01_a": Mark(12.5, 1.5, ""), "02_b": Mark(9.0, 0.0, NOT_READ)},
        "bob": {"01_a": Mark(0.0, 0.0, NOTHING), "02_b": Mark(0.0, 0.0, FAILED)},
        "zoe": {"01_a": Mark(16.0, 0.0, ""), "02_b": Mark(17.0, 0.0, "")},
    }
    monkeypatch.setattr(marks, "marks_of", lambda course: ({"01_a": 16.0, "02_b": 17.0}, rows))
    said = write_marks(Course(tmp_path))
    return {
        path.name: list(csv.DictReader(open_csv(path))) for path in tmp_path.glob("*.csv")
    }, said


def open_csv(path):
    return io.StringIO(path.read_text("utf-8"))


def test_one_row_a_student_with_names_and_what_is_open(written):
    ada, bob, zoe = written[0]["marks.csv"]
    assert (ada["last_name"], ada["email"]) == ("Lovelace", "ada@uni.example")
    assert (ada["01_a (16)"], ada["01_a late"], ada["02_b note"]) == ("12.5", "-1.5", NOT_READ)
    assert (ada["total (33)"], ada["written answers not read"]) == ("21.5", "1")
    assert (bob["01_a note"], bob["02_b note"]) == (NOTHING, FAILED)
    assert (zoe["id"], zoe["last_name"], zoe["total (33)"]) == ("zoe", "", "33.0")


def test_platforms_get_no_mark_that_is_not_settled(written):
    moodle, canvas = written[0]["moodle.csv"], written[0]["canvas.csv"][1:]
    for rows, none in ((moodle, "-"), (canvas, "")):
        assert [row["01_a"] for row in rows] == ["12.5", "0.0", "16.0"]
        assert [row["02_b"] for row in rows] == [none, none, "17.0"]


def test_the_columns_are_those_that_the_platforms_name(written):
    assert list(written[0]["moodle.csv"][0]) == ["ID number", "01_a", "02_b"]
    points, ada, *_ = written[0]["canvas.csv"]
    fixed = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert list(ada) == [*fixed, "01_a", "02_b"]
    assert (points["Student"].strip(), points["01_a"]) == ("Points Possible", "16.0")
    assert [ada[key] for key in fixed[:4]] == ["Lovelace, Ada", "901", "ada", "ada01"]


CANVAS_FIXED = 5  # with the two SIS columns, in this order, the last before the lessons is Section
NO_LESSON = ("Current Score", "Final Score", "Current Points", "Final Points", "Override Score")
NO_LESSON += ("Current Grade", "Final Grade", "Override Grade", "Override Status")


def rows_of(written, name):
    rows = written[0][name]
    return [list(rows[0]), *(list(row.values()) for row in rows)]


def test_canvas_finds_its_header_and_what_is_no_lesson(written):
    """Its rules: Student and ID first; SIS User ID, then SIS Login ID; Section is the last."""
    header, points, *students = rows_of(written, "canvas.csv")
    assert "Student" in header[0] and "ID" in header[1]
    assert header[2:CANVAS_FIXED] == ["SIS User ID", "SIS Login ID", "Section"]
    lessons = header[CANVAS_FIXED:]
    assert lessons == ["01_a", "02_b"]  # such a column is an assignment of this name, or a new one
    assert not [title for title in lessons if any(word in title for word in NO_LESSON)]
    assert "Points Possible" in points[0] and all(map(float, points[CANVAS_FIXED:]))
    assert all("Points Possible" not in row[0] for row in students)


def test_canvas_finds_each_student_and_reads_each_mark(written):
    """By the number, else the SIS ID, the login, or a name; a mark is a number or empty."""
    for row in rows_of(written, "canvas.csv")[2:]:
        assert row[1].isdigit() or row[2] or row[3]
        for mark in row[CANVAS_FIXED:]:
            assert mark == "" or (float(mark) >= 0 and "," not in mark)


def test_moodle_finds_each_student_and_reads_each_mark(written):
    """One column tells the student and must be filled in each row: one who is unknown ends it all.

    A mark has a point, is "-" for none, and is 100 at most where a site sets no other limit. An
    empty one is 0 where the column becomes a new grade item (normalise_value of its databases).
    """
    header, *students = rows_of(written, "moodle.csv")
    assert header == [title.strip() for title in header] and len(set(header)) == len(header)
    assert len(header) > 1 and "Last downloaded from this course" not in header
    for row in students:
        assert row[header.index("ID number")]
        for title in ("01_a", "02_b"):
            mark = row[header.index(title)]
            assert mark == "-" or 0 <= float(mark) <= 100


@pytest.mark.parametrize("whose", [{"ada", "bob"}, {"ada", "bob", "zoe"}])
def test_moodle_gets_addresses_only_where_none_is_missing(whose):
    """The marks of a row whose mapped cell is empty go to the student of the row above."""
    rows = {student: {"01_a": Mark(1.0, 0.0, "")} for student in ("ada", "bob", "zoe")}
    people = {s: Student(s, email=f"{s}@uni.example" if s in whose else "") for s in rows}
    header, *students = marks._for_moodle({"01_a": 16.0}, rows, people)
    assert ("Email address" in header) == (len(whose) == 3)
    assert all(all(map(str, row)) and len(row) == len(header) for row in students)


def test_both_are_utf_8_with_commas_and_lines_of_one_length(written, tmp_path):
    for name in ("moodle.csv", "canvas.csv"):
        raw = (tmp_path / name).read_bytes()
        assert not raw.startswith(b"\xef\xbb\xbf") and raw.count(b"\n") == raw.count(b"\r\n")
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8"))))
        assert len({len(row) for row in rows}) == 1


def test_a_name_is_no_formula(written):
    assert written[0]["marks.csv"][1]["last_name"] == "'=cmd()"


def test_what_is_open_is_said(written):
    assert f"02_b: {NOT_READ}: ada" in written[1] and f"01_a: {NOTHING}: bob" in written[1]


def test_before_anything_is_collected_there_are_no_marks(tmp_path):
    with pytest.raises(ClassroomError, match="nothing is collected yet"):
        write_marks(Course(tmp_path))
