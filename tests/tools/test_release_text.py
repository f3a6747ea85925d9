"""What the released notebook says beyond the source: points, and how to hand in."""

from __future__ import annotations

import functools
import re

import pytest
from notebook_source import LessonError, lesson_sources, notebook_text, read_source
from release_text import is_graded, with_classroom_text

SOURCES = lesson_sources()
HEADING = re.compile(r"^### (?:Exercise|Question) .*, (\d+) (points?)\)$", re.MULTILINE)


@functools.cache
def released(source):
    """The lesson as it is released, but for what nbgrader cuts."""
    return with_classroom_text(read_source(source), source.stem)


@pytest.fixture
def lesson():
    """The source of lesson 03, which a test may change."""
    return read_source(next(source for source in SOURCES if source.name.startswith("03")))


def cell_of(notebook, text: str):
    (cell,) = [cell for cell in notebook.cells if text in cell.source]
    return cell


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_points_that_a_student_reads_are_those_that_nbgrader_gives(source):
    """Heading by heading in the order of the notebook, and in all."""
    cells = released(source).cells
    given = [cell.metadata.nbgrader.points for cell in cells if is_graded(cell)]
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    said = [found for text in prose for found in HEADING.findall(text)]
    assert [int(points) for points, _ in said] == given
    assert all((points == "1") == (word == "point") for points, word in said)
    assert f"**Points:** {sum(given)} in all." in cells[0].source


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_first_cell_says_how_to_hand_in_and_who_holds_the_solutions(source):
    first = released(source).cells[0].source
    assert f"`{source.stem}.ipynb`" in first and "`STUDENT =`" in first
    assert "Your teacher holds the solutions." in first and "shows\nthe answer" not in first


def test_nothing_else_of_the_lesson_is_changed(lesson):
    before = notebook_text(lesson).splitlines()
    after = notebook_text(with_classroom_text(lesson, "03_alpha_scaling")).splitlines()
    gone = [line.strip().lstrip('"') for line in before if line not in after]
    assert gone and all(
        line.startswith(("### Exercise", "`lesson.solution.NAME()`", "own piece")) for line in gone
    )


def test_points_of_written_answers_are_told_apart(lesson):
    first = with_classroom_text(lesson, "03_alpha_scaling").cells[0].source
    assert "14 in all. 11 for the code: a check gives all points" in first
    assert "3 for the written answer, which your teacher reads." in first


def test_a_heading_with_other_points_than_nbgraders_is_refused(lesson):
    question = cell_of(lesson, "### Question 3.7")
    question.source = question.source.replace("3 points)", "2 points)")
    with pytest.raises(LessonError, match="verdict_on_alpha has 3 points, and its heading says 2"):
        with_classroom_text(lesson, "03_alpha_scaling")


def test_a_graded_cell_without_a_heading_of_its_own_is_refused(lesson):
    exercise = cell_of(lesson, "### Exercise 3.1")
    exercise.source = exercise.source.replace("4 minutes)", "4 min)")
    with pytest.raises(LessonError, match="check_adapted_weight needs one heading above it"):
        with_classroom_text(lesson, "03_alpha_scaling")


def test_a_first_cell_that_does_not_say_what_solution_shows_is_refused(lesson):
    lesson.cells[0].source = lesson.cells[0].source.replace("shows the answer", "helps")
    with pytest.raises(
        LessonError, match=r"03_alpha_scaling: the first cell must say once: `lesson\.solution"
    ):
        with_classroom_text(lesson, "03_alpha_scaling")
