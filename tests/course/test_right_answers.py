"""Answers that are right and look unlike the solution: accepted, and no later cell breaks.

To add one, write it into `tests/right_answers/lessonNN.py`.
"""

from __future__ import annotations

import importlib
import re
from itertools import zip_longest

import pytest
from executed_solution import execute
from nbformat import NotebookNode
from notebook_source import grade_id, is_answer, lesson_sources, read_source

import lora_lessons as ll
from lora_lessons.course.checks.core import RIGHT
from tests.course.test_exercises import define
from tests.right_answers import RightAnswer

SOURCES = {path.name[:2]: path for path in lesson_sources()}


def right_answers(number: str) -> dict[str, list[RightAnswer]]:
    """{exercise: its variants}; none for a lesson without a file."""
    try:
        return importlib.import_module(f"tests.right_answers.lesson{number}").RIGHT
    except ModuleNotFoundError:
        return {}


VARIANTS = [
    pytest.param(number, name, right.source, id=f"{number}-{name}-{right.label}")
    for number in SOURCES
    for name, rights in right_answers(number).items()
    for right in rights
]
# the k-th variant of every exercise at once: as many runs as an exercise has variants at most
TOGETHER = [
    pytest.param(number, dict(filter(None, together)), id=f"{number}-{k}")
    for number in SOURCES
    for k, together in enumerate(
        zip_longest(
            *([(name, r.source) for r in rights] for name, rights in right_answers(number).items())
        )
    )
]


def refusals(number: str, name: str, source: str, seeds: range) -> list[str]:
    check, answer = getattr(ll.lesson(number).check, name), define(source, name)
    verdicts = [check(answer, seed=seed) for seed in seeds]
    return [f"{verdict} (seed={verdict.seed})" for verdict in verdicts if verdict.outcome != RIGHT]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("number", "name", "source"), VARIANTS)
def test_a_right_answer_is_accepted_however_it_is_written(number, name, source):
    assert refusals(number, name, source, range(3)) == []


@pytest.mark.nightly
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("number", "name", "source"), VARIANTS)
def test_a_right_answer_is_accepted_in_two_hundred_draws(number, name, source):
    assert refusals(number, name, source, range(200)) == []


@pytest.mark.parametrize("number", SOURCES)
def test_every_right_answer_belongs_to_an_exercise(number):
    assert not right_answers(number).keys() - ll.lesson(number).exercises


def with_answers(number: str, answers: dict[str, str]) -> NotebookNode:
    """The lesson's notebook with these answers in place of the solutions."""
    notebook = read_source(SOURCES[number])
    for cell in notebook.cells:
        if is_answer(cell) and grade_id(cell) in answers:
            cell.source = answers[grade_id(cell)].strip()
    return notebook


def outputs(notebook: NotebookNode) -> str:
    """All that the notebook printed."""
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in shown)


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "answers"), TOGETHER)
def test_the_rest_of_the_notebook_runs_with_right_answers(number, answers):
    """An answer that a check accepts never breaks a later cell, which goes on with it."""
    source = SOURCES[number]
    said = outputs(execute(with_answers(number, answers), source.parent, "quick"))
    solved, exercises = re.search(r"(\d+) of (\d+) exercises solved", said).groups()
    assert solved == exercises, said
    assert "using the package's piece" not in said


def test_the_variants_take_the_place_of_the_solutions():
    answers = {"largest_saving_rank": "def largest_saving_rank(a, b):\n    return 1\n"}
    changed, kept = with_answers("01", answers), read_source(SOURCES["01"])
    differ = [grade_id(a) for a, b in zip(changed.cells, kept.cells, strict=True) if a != b]
    assert differ == ["largest_saving_rank"]
