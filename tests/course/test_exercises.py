"""Every exercise: the solution passes, the stub is not attempted, each wrong one is refused."""

from __future__ import annotations

import ast
import importlib
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from secrets import randbelow

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course.checks.core import NOT_ATTEMPTED, RIGHT, WRONG
from lora_lessons.course.lesson import lesson_numbers
from lora_lessons.course.solution import KEY

EXERCISES = [(number, name) for number in lesson_numbers() for name in ll.lesson(number).exercises]


def wrong_answers(number: str) -> dict:
    return importlib.import_module(f"tests.wrong_answers.lesson{number}").WRONG


WRONG_ANSWERS = [
    pytest.param(number, name, wrong, id=f"{number}-{name}-{wrong.label}")
    for number, name in EXERCISES
    for wrong in wrong_answers(number).get(name, [])
]


SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"


def stand_ins() -> Iterator:
    """The piece of the package that `lesson.use(name, answer, piece)` goes on with."""
    for path in sorted(SOLUTIONS.glob("[0-9][0-9]_*.py")):
        tree, scope = ast.parse(path.read_text(encoding="utf-8")), {}
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom) and "lora_lessons" in ast.unparse(
                node
            ):
                exec(ast.unparse(node), scope)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "lesson.use":
                name, piece = node.args[0].value, ast.unparse(node.args[2])
                yield pytest.param(
                    path.name[:2], name, eval(piece, scope), id=f"{path.name[:2]}-{name}"
                )


def define(source: str, name: str):
    """Run the learner's source as a notebook cell would, and return the object it defines."""
    scope = {"torch": torch, "math": math, "ll": ll, "__name__": "__main__"}
    exec(compile(source, "<answer>", "exec"), scope)
    return scope[name]


def solution(number: str, name: str):
    return define(json.loads(KEY.read_text())[number][name], name)


def accidental_refusals(number: str, name: str, seeds: Iterable[int | None]) -> list[str]:
    lesson, answer = ll.lesson(number), solution(number, name)
    verdicts = [getattr(lesson.check, name)(answer, seed=seed) for seed in seeds]
    return [f"{verdict} (seed={verdict.seed})" for verdict in verdicts if verdict.outcome != RIGHT]


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_the_solution_passes(number, name):
    assert accidental_refusals(number, name, range(20)) == []


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_the_solution_passes_two_hundred_fresh_draws(number, name):
    """Other ones each night: a refusal prints the seed that repeats it."""
    assert accidental_refusals(number, name, [randbelow(2**31) for _ in range(200)]) == []


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_the_stub_counts_as_not_attempted(number, name):
    def stub(*args, **kwargs):
        raise NotImplementedError("Your turn: replace this line.")

    check = getattr(ll.lesson(number).check, name)
    for blank in (stub, None, ...):
        assert check(blank).outcome == NOT_ATTEMPTED
        with pytest.raises(AssertionError, match="not attempted"):
            check(blank).require()


@pytest.mark.parametrize(("number", "name", "wrong"), WRONG_ANSWERS)
def test_a_wrong_answer_is_refused_with_its_message(number, name, wrong):
    for seed in range(1 if name == "mini_lora" else 5):  # that check starts a process
        verdict = getattr(ll.lesson(number).check, name)(define(wrong.source, name), seed=seed)
        assert verdict.outcome == WRONG
        assert wrong.says in verdict.message, (
            f"the check's message is not the one that tests/wrong_answers/lesson{number}.py says "
            f"for {wrong.label!r}: if the new one is better, change it there"
        )
        with pytest.raises(AssertionError, match="wrong"):
            verdict.require()


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_there_are_four_wrong_answers_three_rising_hints_and_points(number, name):
    exercise = ll.lesson(number).exercises[name]
    labels = {wrong.label for wrong in wrong_answers(number).get(name, [])}
    place = f"write at least four into WRONG[{name!r}] of tests/wrong_answers/lesson{number}.py"
    assert len(labels) >= 4, f"{len(labels)} wrong answers: {place}"
    assert len(set(exercise.hints)) == 3
    assert exercise.points >= 1 and exercise.minutes >= 1


@pytest.mark.parametrize("number", lesson_numbers())
def test_every_wrong_answer_belongs_to_an_exercise(number):
    """An exercise that was renamed would otherwise be tested with none of them."""
    stray = wrong_answers(number).keys() - ll.lesson(number).exercises
    assert not stray, f"tests/wrong_answers/lesson{number}.py answers no exercise: {sorted(stray)}"


# what a piece of the package is told, and what a name is told where only numbers are read
OWN_WORK = ("Write it yourself", "only numbers are read")


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_the_packages_own_piece_is_refused(number, name):
    """Handed in as it is, in a lambda, or in a function: each refused by the guard."""
    from lora_lessons.lora.more import low_rank

    check = getattr(ll.lesson(number).check, name)
    for handed_in in (
        low_rank.truncate,
        ll.LoraLinear,
        lambda *args, **kwargs: low_rank.truncate(torch.ones(3, 3), 1),
    ):
        verdict = check(handed_in)
        assert verdict.outcome == WRONG
        assert any(words in verdict.message for words in OWN_WORK)


@pytest.mark.parametrize(("number", "name", "piece"), list(stand_ins()))
def test_the_piece_that_the_lesson_goes_on_with_is_refused(number, name, piece):
    """Its name stands on the page, so it is the first that a learner would hand in."""
    check = getattr(ll.lesson(number).check, name)
    for handed_in in (piece, lambda *args, **kwargs: piece(*args, **kwargs)):
        verdict = check(handed_in)
        assert verdict.outcome == WRONG
        assert "Write it yourself" in verdict.message


@pytest.mark.parametrize("number", lesson_numbers())
def test_there_are_cards(number):
    deck = ll.lesson(number).cards()
    assert len(deck.cards) >= 4
    assert deck._repr_html_().count("<details>") == len(deck.cards)


@pytest.mark.parametrize("number", lesson_numbers())
def test_the_checks_lie_apart_from_the_hints(number):
    """exercises.py says what is asked; how it is judged is in checks.py or checks_*.py."""
    lesson = importlib.import_module(f"lora_lessons.course.lesson{number}.exercises")
    defined = [
        node.name
        for node in ast.parse(Path(lesson.__file__).read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name != "_exercise"
    ]
    assert not defined
