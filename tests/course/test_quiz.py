"""The quiz: each choice is told why, and none is chosen beforehand."""

from __future__ import annotations

import pytest

from lora_lessons.course.lesson00.exercises import QUIZ
from lora_lessons.course.quiz import Question, Quiz

ASKED = Question("What is <b>?", (("one", "It is two."), ("two", "Count <it>.")), 1, "Chapter 1.")


def test_a_choice_is_told_why_and_the_right_one_is_not_given_away():
    assert ASKED.feedback(1) == "Right: two. Count <it>."
    assert ASKED.feedback(0) == "one: no. It is two. Read: Chapter 1."
    assert ASKED.feedback(None) == ""


@pytest.mark.parametrize("question", QUIZ, ids=lambda question: question.text[:20])
def test_every_option_of_the_course_has_its_own_words(question):
    told = [why for _, why in question.options]
    assert len(set(told)) == len(told) and all(len(why) >= 15 for why in told)
    right = question.options[question.right][0]
    for choice in set(range(len(question.options))) - {question.right}:
        assert not question.feedback(choice).startswith("Right") and f"no. {right}" not in told


def test_nothing_is_chosen_and_a_choice_shows_its_words():
    box = Quiz([ASKED]).panel().children[0]
    title, buttons, answer = box.children
    assert buttons.value is None and answer.value == "" and "What is &lt;b&gt;?" in title.value
    buttons.value = 0
    assert answer.value == '<span role="status">one: no. It is two. Read: Chapter 1.</span>'


def test_without_a_front_end_it_is_text_with_its_options():
    bundle = Quiz([ASKED])._repr_mimebundle_()
    assert bundle["text/plain"] == "1. What is <b>?\n   ( ) one\n   ( ) two"
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_question_without_reasons_is_refused():
    with pytest.raises(ValueError, match="say why 'b'"):
        Question("q", (("a", "Because."), ("b", " ")), 0, "")
    with pytest.raises(ValueError, match="right is one's index"):
        Question("q", (("a", "Because."), ("b", "No.")), 2, "")
