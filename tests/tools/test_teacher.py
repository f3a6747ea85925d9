"""The teacher's path for each lesson: release, three submissions, marks, feedback.

Lesson 01 is graded in `make test`, every lesson in `make nightly`.
"""

from __future__ import annotations

import copy
import html
import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from answer_key import lesson_answers
from lesson_env import lesson_environment
from nbgrader.api import Gradebook
from notebook_source import (
    MARKERS,
    STUB,
    grade_id,
    is_answer,
    lesson_sources,
    notebook_text,
    read_source,
    solution_regions,
    write_whole,
)
from release_text import is_graded
from teacher_release import make_release, nbgrader

import lora_lessons as ll
from lora_lessons.app.classroom.course import Course as Folder
from lora_lessons.app.classroom.look import look

STUDENTS = ["perfect", "blank", "wrong"]
LESSONS = [
    pytest.param(source, id=source.stem, marks=[pytest.mark.nightly] * (source.name[:2] != "01"))
    for source in lesson_sources()
]


@dataclass
class Course:
    """nbgrader's course folder with one lesson's release and its submissions."""

    source: Path
    folder: Path

    @property
    def lesson(self) -> str:
        return self.source.stem

    @property
    def number(self) -> str:
        return self.lesson[:2]

    def released(self) -> nbformat.NotebookNode:
        path = self.folder / "release" / self.lesson / f"{self.lesson}.ipynb"
        return nbformat.read(path, as_version=4)

    def answers(self, student: str) -> dict[str, str]:
        """Every answer as the key has it, and those to the student's own numbers."""
        return lesson_answers(self.source) | {
            name: f"def {name}():\n    return {own.right(**own.of(student, self.number))!r}\n"
            for name, own in self.own_questions().items()
        }

    def own_questions(self):
        exercises = ll.lesson(self.number).exercises
        return {name: exercise.own for name, exercise in exercises.items() if exercise.own}

    def mistake(self):
        """The lesson's first exercise and its first wrong answer."""
        wrong = importlib.import_module(f"tests.wrong_answers.lesson{self.number}").WRONG
        name, (mistake, *_) = next(iter(wrong.items()))
        return name, mistake

    def names(self) -> list[str]:
        """The exercises, in the order of the lesson."""
        return list(ll.lesson(self.number).exercises)

    def submit(
        self,
        student: str,
        answers: dict[str, str],
        written_id: str = "",
        twice: str = "",
        gone: str = "",
        show: str = "",
    ) -> None:
        """Hand in the release with these answers.

        One cell is copied to the end, one is deleted, and one more asks to show a solution.
        """
        notebook = copy.deepcopy(self.released())
        for cell in notebook.cells:
            about = cell.metadata.get("nbgrader", {})
            if about.get("solution"):
                cell.source = answers.get(about["grade_id"], cell.source)
            cell.source = cell.source.replace('STUDENT = ""', f'STUDENT = "{written_id}"')
        cells = {grade_id(cell): cell for cell in notebook.cells}
        if show:
            notebook.cells.append(nbformat.v4.new_code_cell(f"lesson.solution.{show}()"))
        if gone:
            notebook.cells.remove(cells[gone])
        if twice:
            notebook.cells.append(nbformat.from_dict({**cells[twice], "id": "a-copy"}))
        path = self.folder / "submitted" / student / self.lesson / f"{self.lesson}.ipynb"
        write_whole(path, notebook_text(notebook))

    def marks(self, student: str) -> dict[str, tuple[float, float]]:
        """Return {graded cell: (points given, points possible)} of the autograded cells."""
        with self.gradebook() as book:
            grades = book.find_submission_notebook(self.lesson, self.lesson, student).grades
            return {g.name: (g.score, g.max_score) for g in grades if g.cell.cell_type == "code"}

    def gradebook(self) -> Gradebook:
        return Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}", "lora-lessons")


@pytest.fixture(scope="module", params=LESSONS)
def course(request, tmp_path_factory):
    """The release of one lesson, and the three submissions graded, with feedback.

    "wrong" has the notebook of "perfect", its id and its own numbers' answers included, with one
    mistake in the first exercise; and it is untidy: an answer is there twice, and a check is gone.
    """
    env = lesson_environment(tmp_path_factory.mktemp("home"), "quick")
    env.pop("PYTHONWARNINGS")  # nbgrader's own packages warn; nbval holds the lessons to it
    made = Course(request.param, tmp_path_factory.mktemp("course"))
    released = nbformat.read(make_release(made.source, made.folder, env), as_version=4)
    name, _ = made.mistake()
    perfect = made.answers("perfect")
    made.submit("perfect", perfect, "Perfect")
    made.submit("blank", {}, "blank", show=name)
    untidy = perfect | {name: mistaken(made, released)}
    made.submit("wrong", untidy, "Perfect", twice=made.names()[2], gone=f"check_{made.names()[1]}")
    nbgrader("autograde", made.lesson, "--create", course=made.folder, env=env)
    nbgrader("generate_feedback", made.lesson, course=made.folder, env=env)
    return made


def mistaken(course: Course, released) -> str:
    """The wrong answer as a student's cell: what stood there before it, and the wrong one."""
    name, mistake = course.mistake()
    (cell,) = [c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name]
    return cell.source.split("def ")[0] + mistake.source


def test_the_release_has_stubs_and_no_answers(course):
    released, answers = course.released(), lesson_answers(course.source)
    text = notebook_text(released)
    stubs = [cell.id for cell in released.cells if STUB in cell.source]
    assert len(stubs) == sum("def " in answer for answer in answers.values())
    assert not any(mark in text for mark in MARKERS)
    assert ".require()" not in text
    assert not any(cell.get("outputs") for cell in released.cells)
    prose = "\n".join(cell.source for cell in released.cells)
    for cell in filter(is_answer, read_source(course.source).cells):
        for region in solution_regions(cell.source):
            lines = cell.source.splitlines()
            assert "\n".join(lines[number - 1] for number in region) not in prose


def test_the_release_can_be_graded(course):
    """Each check is locked and worth something; nbgrader's own metadata is whole."""
    cells = course.released().cells
    graded = [c.metadata.nbgrader for c in cells if c.metadata.get("nbgrader", {}).get("grade")]
    assert graded and all(about.points > 0 and about.checksum for about in graded)
    assert all(about.locked for about in graded if not about.solution)
    points = {about.grade_id: about.points for about in graded if not about.solution}
    exercises = ll.lesson(course.number).exercises.values()
    assert points == {f"check_{exercise.name}": exercise.points for exercise in exercises}


def test_perfect_gets_everything(course):
    assert all(score == possible for score, possible in course.marks("perfect").values())


def test_blank_gets_nothing(course):
    assert {score for score, _ in course.marks("blank").values()} == {0}


def test_wrong_loses_what_its_mistake_and_its_copied_answer_cost(course):
    given = course.marks("wrong")
    lost = {course.mistake()[0], *course.own_questions()}
    assert len(lost) == 2
    assert [given.pop(f"check_{name}")[0] for name in lost] == [0, 0]
    assert given and all(score == possible for score, possible in given.values())


def test_the_look_before_grading_names_what_is_odd(course):
    found = look(Folder(course.folder), course.lesson)
    (question,) = course.own_questions()
    _, gone, twice, *_ = course.names()
    file = f"{course.lesson}.ipynb"
    assert found == [
        f"wrong: {file} has 2 cells {twice!r}: the last is graded; delete it if another is meant",
        f"wrong: {file} has no cell 'check_{gone}': it is put back when graded",
        f"wrong: {file} says STUDENT = 'Perfect': its own numbers are graded as those of 'wrong'",
        f"wrong: {question} answers the numbers of perfect",
    ]


@pytest.mark.parametrize("student", STUDENTS)
def test_feedback_is_written(course, student):
    page = course.folder / "feedback" / student / course.lesson / f"{course.lesson}.html"
    text = page.read_text("utf-8")
    assert "Score" in text
    assert (course.mistake()[1].says in text) is (student == "wrong")
    (own,) = course.own_questions().values()
    told = ["not the answer to your numbers", *own.mistakes(**own.of("wrong", course.number))]
    assert any(one in html.unescape(text) for one in told) is (student == "wrong")


def test_the_released_headings_say_the_points(course):
    """Before each graded cell stands a heading with what nbgrader gives for it."""
    points = []
    for cell in course.released().cells:
        if cell.cell_type == "markdown":
            points += re.findall(r"(?m)^### .*, (\d+) points?\)$", cell.source)
        if is_graded(cell):
            assert int(points.pop()) == cell.metadata.nbgrader.points
            assert points == []


def test_the_feedback_shows_no_solution_to_whom_asked_for_one(course):
    """Although the key is installed where these are graded."""
    page = course.folder / "feedback" / "blank" / course.lesson / f"{course.lesson}.html"
    assert "Your teacher holds the solutions of this course." in page.read_text("utf-8")


def test_a_check_that_was_put_back_says_so_in_the_feedback(course):
    page = course.folder / "feedback" / "wrong" / course.lesson / f"{course.lesson}.html"
    text = page.read_text("utf-8")
    assert f"check_{course.names()[1]}) was missing from the submission" in text


def test_written_answers_wait_for_the_teacher_and_have_a_rubric(course, root):
    written = [n for n, answer in lesson_answers(course.source).items() if "def " not in answer]
    with course.gradebook() as book:
        submission = book.find_submission_notebook(course.lesson, course.lesson, "perfect")
        waiting = {g.name for g in submission.grades if g.needs_manual_grade}
    assert waiting == set(written)
    guide = (root / "docs" / "teaching.md").read_text("utf-8")
    assert all(f"`{name}`" in guide for name in written)


def test_every_source_is_valid_for_nbgrader():
    from nbgrader.nbgraderformat import MetadataValidator

    for source in lesson_sources():
        MetadataValidator().validate_nb(read_source(source))
