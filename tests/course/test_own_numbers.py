"""Each student's own numbers: they differ, and a copied answer is refused."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

import lora_lessons as ll
from lora_lessons.course import student
from lora_lessons.course.checks.core import NOT_ATTEMPTED, RIGHT, WRONG, run_check
from lora_lessons.course.checks.own import OwnNumbers, own_exercise
from lora_lessons.course.lesson import lesson_numbers

OWN = [
    pytest.param(number, exercise, id=exercise.name)
    for number in lesson_numbers()
    for exercise in ll.lesson(number).exercises.values()
    if exercise.own
]
each_question = pytest.mark.parametrize(("number", "exercise"), OWN)
CLASS = [f"student{i:02d}" for i in range(60)]


def returning(*numbers):
    """An answer as a student writes it: a function with its numbers in it."""
    scope = {}
    exec(f"def answer():\n    return {', '.join(map(repr, numbers))}", scope)
    return scope["answer"]


def answers(number, exercise) -> dict[str, tuple]:
    return {who: exercise.own.right(**exercise.own.of(who, number)) for who in CLASS}


def test_every_lesson_has_one():
    lessons = [parameters.values[0] for parameters in OWN]
    missing = sorted(set(lesson_numbers()) - set(lessons))
    assert not missing, f"lessons without lora_lessons/course/lessonNN/own.py: {missing}"
    assert lessons == lesson_numbers(), "a lesson has more than one"


@each_question
def test_each_student_is_right_with_the_own_answer_only(number, exercise):
    right = answers(number, exercise)
    for who, other in itertools.pairwise(CLASS):
        mine = exercise.own.of(who, number)
        assert run_check(exercise, returning(*right[who]), mine=mine).outcome == RIGHT
        copied = run_check(exercise, returning(*right[other]), mine=mine)
        assert copied.outcome == WRONG
        assert not any(str(part) in copied.message for part in right[who])


@each_question
def test_no_two_students_have_the_same_numbers_and_hardly_two_the_same_answer(number, exercise):
    drawn = [str(exercise.own.of(who, number)) for who in CLASS]
    assert len(set(drawn)) == len(CLASS)
    pairs = list(itertools.combinations(answers(number, exercise).values(), 2))
    assert sum(one == other for one, other in pairs) <= 0.01 * len(pairs)


@each_question
def test_each_mistake_is_named_and_none_gives_the_answer_away(number, exercise):
    own = exercise.own
    for who in CLASS[:20]:
        mine = own.of(who, number)
        right = own.right(**mine)
        for message, mistaken in own.mistakes(**mine).items():
            made = [r if m is None else m for r, m in zip(right, mistaken, strict=True)]
            verdict = run_check(exercise, returning(*made), mine=mine)
            if verdict.outcome == WRONG:  # by chance two ways may lead to one number
                assert verdict.message in own.mistakes(**mine)
            assert not any(f"{part:g}" in message.split() for part in right)


PINNED = [[616, 294, 88], ["a", "b", "e"]]


def test_the_numbers_do_not_change_from_version_to_version():
    draw = student.Draw(student.student_seed("ada", "01"))
    assert [draw.wholes(3, 1, 1000), draw.some("abcdef", 3)] == PINNED


@pytest.mark.parametrize("written", ["ada", " Ada ", "ADA\n"])
def test_an_id_may_be_written_in_any_case(written):
    assert student.student_seed(written, "01") == student.student_seed("ada", "01")


def test_alone_everybody_has_the_same_numbers(capsys):
    lesson = ll.lesson("01")
    assert lesson.mine("my_budget") == lesson.mine("my_budget", " ")
    assert "the numbers of 'self-study'" in capsys.readouterr().out


def test_the_check_goes_by_the_id_that_was_written():
    lesson = ll.lesson("01")
    own = lesson.exercises["my_budget"].own
    mine = lesson.mine("my_budget", "ada")
    assert mine == own.of("ada", "01") != own.of("self-study", "01")
    assert lesson.check.my_budget(returning(*own.right(**mine))).outcome == RIGHT
    lesson.mine("my_budget", "bob")
    verdict = lesson.check.my_budget(returning(*own.right(**mine)))
    assert "not the answer to your numbers" in str(verdict) and "seed" not in str(verdict)


def test_nbgrader_says_who_it_is_whatever_the_notebook_says(monkeypatch, tmp_path, capsys):
    folder = tmp_path / "autograded" / "Ada" / "01_rank_decomposition"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    lesson = ll.lesson("01")
    monkeypatch.chdir(Path("..", "..", ".."))  # what a submission does later changes nothing
    own = lesson.exercises["my_budget"].own
    assert lesson.mine("my_budget", "bob") == own.of("ada", "01")
    assert lesson.check.my_budget(returning(*own.right(**own.of("bob", "01")))).outcome == WRONG
    assert "handed in by 'ada'; the notebook says 'bob'" in capsys.readouterr().out


def test_nbgraders_validation_is_the_students_own_run(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    assert student.handed_in_by() is None


def test_an_unknown_question_is_named_with_the_nearest():
    with pytest.raises(KeyError, match="my_budget"):
        ll.lesson("01").mine("my_buget", "ada")


TWO = own_exercise(
    OwnNumbers(
        draw=lambda numbers: {"a": numbers.whole(2, 99)},
        right=lambda a: (a, a / 3),
        mistakes=lambda a: {
            "This is one more.": (a + 1, a / 3),
            "This is the first again.": (a, a),
        },
    ),
    name="two",
    title="t",
    points=1,
    minutes=1,
    hints=("1", "2", "3"),
)


def verdict_on(answer):
    return run_check(TWO, answer, mine={"a": 7})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("8, 1.0", "This is one more."),
        ("7, 2.4", "The second number is not the answer to your numbers; another one is."),
        ("1, 7 / 3", "The first number is not the answer to your numbers; another one is."),
        ("1, 2", "This is not the answer to your numbers. Neither number is."),
        ("8, 2", "Your first number: This is one more."),
        ("5, 7", "Your second number: This is the first again."),
        ("7.0001, 7 / 3", "The first number is"),
        ("7", "Return 2 numbers; got 7."),
        ("7, 'x'", "Return numbers; got str."),
        ("True, 7 / 3", "Return numbers; got bool."),
        ("None", "Return 2 numbers; got None."),
        ("lesson.mine('two').values()", "it uses 'lesson',"),
        ("[mine['a'] for _ in range(2)]", "it uses 'mine',"),
        ("__import__('torch')", "it uses '__import__',"),
    ],
)
def test_what_is_said_to_an_answer(source, message):
    scope = {"lesson": ll.lesson("01"), "mine": {"a": 7}}
    exec(f"def answer():\n    return {source}", scope)
    verdict = verdict_on(scope["answer"])
    assert verdict.outcome == WRONG and message in verdict.message


def test_an_import_in_the_answer_is_refused():
    def answer():
        import random

        return random.random(), 1

    assert "it uses" in verdict_on(answer).message


def test_a_value_kept_around_the_answer_is_refused():
    kept = 7

    def answer():
        return kept, kept / 3

    assert "it uses 'kept'" in verdict_on(answer).message


def test_arithmetic_and_math_are_at_hand():
    def answer():
        return round(math.sqrt(49)), sum([1, 4 / 3])

    assert verdict_on(answer).outcome == RIGHT
    assert verdict_on(7).outcome == WRONG
    assert verdict_on(None).outcome == NOT_ATTEMPTED
