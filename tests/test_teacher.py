"""The teacher's path for lesson 01: release, three submissions, marks, feedback."""

from __future__ import annotations

import copy

import nbformat
import precheck_submissions
import pytest
from answer_key import lesson_answers
from lesson_env import lesson_environment
from nbgrader.api import Gradebook
from notebook_source import (
    MARKERS,
    STUB,
    is_answer,
    lesson_sources,
    notebook_text,
    read_source,
    solution_regions,
    write_whole,
)
from teacher_release import make_release, nbgrader

from tests.wrong_answers.lesson01 import WRONG

(SOURCE,) = lesson_sources(["01"])
LESSON = SOURCE.stem
ANSWERS = lesson_answers(SOURCE)
# One wrong answer, in the first exercise; everything else is right.
EXERCISE, (MISTAKE, *_) = next(iter(WRONG.items()))


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    env = lesson_environment(tmp_path_factory.mktemp("home"), "quick")
    env.pop("PYTHONWARNINGS")  # nbgrader's own packages warn; nbval holds the lessons to it
    return env


@pytest.fixture(scope="module")
def course(tmp_path_factory, env):
    """nbgrader's course folder with the release, and the three submissions graded."""
    course = tmp_path_factory.mktemp("course")
    released = nbformat.read(make_release(SOURCE, course, env), as_version=4)
    submit(course, "perfect", with_answers(released, ANSWERS))
    submit(course, "blank", released)
    submit(course, "wrong", with_answers(released, ANSWERS | {EXERCISE: mistaken(released)}))
    assert precheck_submissions.precheck(course, LESSON) == []
    nbgrader("autograde", LESSON, "--create", course=course, env=env)
    nbgrader("generate_feedback", LESSON, course=course, env=env)
    return course


def mistaken(released) -> str:
    """The wrong answer as a student's cell: what stood there before it, and the wrong function."""
    cell = next(c for c in released.cells if c.metadata.get("nbgrader", {}).get("solution"))
    return cell.source.split("def ")[0] + MISTAKE.source


def with_answers(released, answers: dict[str, str]):
    """Return the notebook as a student hands it in, with these answers in place of the stubs."""
    notebook = copy.deepcopy(released)
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution"):
            cell.source = answers[about["grade_id"]]
    return notebook


def submit(course, student: str, notebook) -> None:
    path = course / "submitted" / student / LESSON / f"{LESSON}.ipynb"
    write_whole(path, notebook_text(notebook))


def marks(course, student: str) -> dict[str, tuple[float, float]]:
    """Return {graded cell: (points given, points possible)} of the autograded cells."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "lora-lessons") as book:
        grades = book.find_submission_notebook(LESSON, LESSON, student).grades
        return {g.name: (g.score, g.max_score) for g in grades if g.cell.cell_type == "code"}


def test_the_release_has_stubs_and_no_answers(course):
    text = (course / "release" / LESSON / f"{LESSON}.ipynb").read_text("utf-8")
    released = nbformat.reads(text, as_version=4)
    stubs = [cell.id for cell in released.cells if STUB in cell.source]
    assert len(stubs) == sum("def " in answer for answer in ANSWERS.values())
    assert not any(mark in text for mark in MARKERS)
    assert "verdict.require()" not in text
    prose = "\n".join(cell.source for cell in released.cells)
    for cell in filter(is_answer, read_source(SOURCE).cells):
        for region in solution_regions(cell.source):
            lines = cell.source.splitlines()
            assert "\n".join(lines[number - 1] for number in region) not in prose


def test_the_release_can_be_graded(course):
    """Each check is locked and worth something; nbgrader's own metadata is whole."""
    cells = nbformat.read(course / "release" / LESSON / f"{LESSON}.ipynb", as_version=4).cells
    graded = [c.metadata.nbgrader for c in cells if c.metadata.get("nbgrader", {}).get("grade")]
    assert graded and all(about.points > 0 and about.checksum for about in graded)
    assert all(about.locked for about in graded if not about.solution)


def test_perfect_gets_everything(course):
    assert all(score == possible for score, possible in marks(course, "perfect").values())


def test_blank_gets_nothing(course):
    assert {score for score, _ in marks(course, "blank").values()} == {0}


def test_wrong_loses_what_its_mistake_costs(course):
    given = marks(course, "wrong")
    assert given.pop(f"check_{EXERCISE}")[0] == 0
    assert given and all(score == possible for score, possible in given.values())


@pytest.mark.parametrize("student", ["perfect", "blank", "wrong"])
def test_feedback_is_written(course, student):
    page = (course / "feedback" / student / LESSON / f"{LESSON}.html").read_text("utf-8")
    assert "Score" in page
    assert (MISTAKE.says in page) is (student == "wrong")


def test_written_answers_wait_for_the_teacher_and_have_a_rubric(course, root):
    written = [name for name, answer in ANSWERS.items() if "def " not in answer]
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "lora-lessons") as book:
        submission = book.find_submission_notebook(LESSON, LESSON, "perfect")
        waiting = {g.name for g in submission.grades if g.needs_manual_grade}
    assert written and waiting == set(written)
    guide = (root / "docs" / "teaching.md").read_text("utf-8")
    assert all(f"`{name}`" in guide for name in written)


@pytest.fixture
def handed_in(course, tmp_path):
    """A course folder with a release and one submission that a test may spoil."""
    released = nbformat.read(course / "release" / LESSON / f"{LESSON}.ipynb", as_version=4)
    write_whole(tmp_path / "release" / LESSON / f"{LESSON}.ipynb", notebook_text(released))
    submit(tmp_path, "ada", released)
    return tmp_path, released


def test_a_duplicated_cell_is_named_before_it_voids_a_submission(handed_in, capsys):
    folder, released = handed_in
    twice = next(c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade"))
    released.cells.append(nbformat.from_dict({**twice, "id": "a-copy"}))
    submit(folder, "ada", released)
    assert precheck_submissions.main([str(folder), LESSON]) == 1
    name = twice.metadata.nbgrader.grade_id
    assert f"ada: {LESSON}.ipynb has 2 cells {name!r}: delete" in capsys.readouterr().out


def test_a_deleted_cell_a_wrong_name_and_a_broken_file_are_named(handed_in):
    folder, released = handed_in
    gone = next(c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade"))
    released.cells.remove(gone)
    submit(folder, "ada", released)
    write_whole(folder / "submitted" / "bob" / LESSON / "mine.ipynb", "{}")
    write_whole(folder / "submitted" / "cyd" / LESSON / f"{LESSON}.ipynb", "not a notebook")
    ada, bob, cyd = precheck_submissions.precheck(folder, LESSON)
    assert f"has no cell {gone.metadata.nbgrader.grade_id!r}" in ada
    assert "is missing: the file must be called" in bob
    assert "is not a notebook" in cyd


def test_without_a_release_the_command_says_so(tmp_path):
    assert "make release" in precheck_submissions.precheck(tmp_path, LESSON)[0]


def test_every_source_is_valid_for_nbgrader():
    from nbgrader.nbgraderformat import MetadataValidator

    for source in lesson_sources():
        MetadataValidator().validate_nb(read_source(source))
