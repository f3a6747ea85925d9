"""Predictions: committed once, by the button or in code, and compared with the result."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lora_lessons.course.predict import compare, in_words, predict

LESSONS = sorted((Path(__file__).resolve().parents[2] / "solutions").glob("[0-9][0-9]_*.py"))


def parts(prediction):
    """The widgets that a learner uses: the choice, the button, the line below."""
    return prediction.widget().children[1:]


def test_a_slider_and_its_button_commit_a_number():
    store = {}
    prediction = predict(store, "share", "How much?", low=0, high=10, step=0.5)
    choice, button, status = parts(prediction)
    assert (choice.min, choice.max, choice.value, choice.step) == (0, 10, 5, 0.5)
    choice.value = 2.5
    assert store == {} and prediction.value is None
    button.click()
    assert store == {"share": 2.5}
    assert choice.disabled and button.disabled
    assert status.value == "You predicted 2.5."


def test_a_list_of_options_commits_the_option_itself():
    store = {}
    choice, button, _ = parts(predict(store, "rank", "Which rank?", options=[1, 8, 64]))
    choice.index = 2
    button.click()
    assert store == {"rank": 64}


def test_a_cell_run_again_shows_the_committed_value_locked():
    store = {}
    predict(store, "share", "How much?", low=0, high=10, step=1, answer=3)
    again = predict(store, "share", "How much?", low=0, high=10, step=1)
    choice, button, _ = parts(again)
    assert choice.value == 3 and choice.disabled and button.disabled
    assert repr(again) == "How much?: you predicted 3"


def test_without_a_front_end_the_text_says_how_to_answer():
    prediction = predict({}, "share", "How much?", low=0, high=10, step=1)
    bundle = prediction._repr_mimebundle_(include=None, exclude=None)
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(prediction)
    assert "(0 to 10): no prediction yet" in repr(prediction)
    assert "lesson.predict('share', ..., answer=...)" in repr(prediction)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"low": 5, "high": 5}, "low must be below high"),
        ({"step": 0}, "step above 0"),
        ({"options": [1]}, "two values at least"),
        ({"options": [1, 2], "answer": 3}, "3 is none of the options"),
        ({"low": 0, "high": 10, "answer": 11}, "11 is not between 0 and 10"),
    ],
)
def test_what_cannot_be_chosen_is_refused(choice, message):
    store = {}
    with pytest.raises(ValueError, match=message):
        predict(store, "key", "How much?", **choice)
    assert store == {}


def test_a_comparison_says_and_draws_both_numbers():
    comparison = compare({"kept": 40}, "kept", 71.84, unit="%")
    assert repr(comparison) == "You predicted 40 %; measured: 71.8 %."
    assert comparison.picture.alt == "Two bars. You predicted 40 %; measured: 71.8 %."
    html = comparison._repr_html_()
    assert "<p>You predicted 40 %" in html and 'src="data:image/png' in html


def test_a_comparison_of_words_needs_no_picture():
    comparison = compare({"rule": "alpha = 2r"}, "rule", "alpha = 16")
    assert repr(comparison) == "You predicted alpha = 2r; measured: alpha = 16."
    assert "<img" not in comparison._repr_html_()


def test_no_prediction_is_no_reproach():
    comparison = compare({}, "kept", 72, unit="%")
    assert repr(comparison).startswith("Measured: 72 %. You made no prediction here")


@pytest.mark.parametrize(
    ("value", "words"),
    [(64, "64"), (0.7823, "0.782"), (5_480_000.0, "5,480,000"), (12_288, "12,288"), ("q", "q")],
)
def test_numbers_in_words(value, words):
    assert in_words(value) == words


# --- in the lessons ------------------------------------------------------------------------------


def predictions(path: Path) -> dict[str, list[ast.Call]]:
    """The calls of lesson.predict and lesson.compare in a lesson's source, in its order."""
    found: dict[str, list[ast.Call]] = {"predict": [], "compare": []}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if name in ("lesson.predict", "lesson.compare"):
            found[name.removeprefix("lesson.")].append(node)
    return found


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_every_prediction_of_a_lesson_is_compared_once_and_later(path):
    """Else a learner never sees the result, or sees it before the question."""
    found = predictions(path)
    asked, told = ({c.args[0].value: c.lineno for c in found[kind]} for kind in found)
    assert len(asked) == len(found["predict"]) and len(told) == len(found["compare"])
    assert asked.keys() == told.keys() != set()
    assert [key for key in asked if told[key] < asked[key]] == []
