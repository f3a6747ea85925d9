"""Predictions: committed once, by the button or in code, and compared with the result."""

from __future__ import annotations

import pytest

from lora_lessons.course.predict import EXAMPLES, in_words, predict


def test_a_slider_and_its_button_commit_a_number():
    store = {}
    prediction = predict(store, "share", "How much?", low=0, high=10, step=0.5)
    widget = prediction.widget()
    assert (widget.low, widget.high, widget.step, widget.options) == (0, 10, 0.5, [])
    assert store == {} and prediction.value is None and not widget.locked
    widget.set_state({"place": 2.5})  # as the button does
    assert store == {"share": 2.5}
    assert widget.locked and widget.status == "You predicted 2.5."


def test_a_list_of_options_commits_the_option_itself():
    store = {}
    widget = predict(store, "rank", "Which rank?", options=[1, 8, 64]).widget()
    assert widget.place is None and widget.options == ["1", "8", "64"]  # none is chosen beforehand
    widget.set_state({"place": 2})
    assert store == {"rank": 64}


def test_a_prediction_is_committed_once():
    store = {}
    widget = predict(store, "rank", "Which rank?", options=[1, 8, 64]).widget()
    widget.set_state({"place": 2})
    widget.set_state({"place": 0})
    assert store == {"rank": 64}


def test_a_cell_run_again_shows_the_committed_value_locked():
    store = {}
    predict(store, "share", "How much?", low=0, high=10, step=1, answer=3)
    again = predict(store, "share", "How much?", low=0, high=10, step=1)
    widget = again.widget()
    assert widget.place == 3 and widget.locked and widget.status == "You predicted 3."
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


@pytest.mark.parametrize(
    ("value", "words"),
    [(64, "64"), (0.7823, "0.782"), (5_480_000.0, "5,480,000"), (12_288, "12,288"), ("q", "q")],
)
def test_numbers_in_words(value, words):
    assert in_words(value) == words


def test_an_example_is_committed_where_nobody_sits(monkeypatch):
    monkeypatch.setenv(EXAMPLES, "1")
    store = {}
    asked = predict(store, "share", "How much?", low=0, high=10, step=1)
    assert store == {"share": 2.5} and repr(asked) == "How much?: an example prediction 2.5"
    options = ["a", "b", "c"]
    of_keys = {predict({}, key, "Which?", options=options).value for key in ("x", "y", "z")}
    assert of_keys == set(options)  # it says nothing about which is right
    assert not predict({}, "share", "How much?", answer=3).example
