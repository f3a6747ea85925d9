"""The comparison: numbers, options, ties by seed or by a tolerance, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import lora_lessons as ll
from lora_lessons.course.compare import compare, decide

SEEDS = {
    "q, v": {0: 4.40, 1: 4.44, 2: 4.42},
    "MLP": {0: 4.301, 1: 4.339, 2: 4.322},
    "all": {0: 4.30, 1: 4.345, 2: 4.3181},
}
OPTIONS = ["q, v", "MLP", "all"]


def test_a_comparison_says_and_draws_both_numbers():
    comparison = compare({"kept": 40}, "kept", 71.84, unit="%")
    assert repr(comparison) == "You predicted 40 %; measured: 71.8 %."
    assert comparison.picture.alt == "Two bars. You predicted 40 %; measured: 71.8 %."
    html = comparison._repr_html_()
    assert '<p role="status">You predicted 40 %' in html and 'src="data:image/png' in html


def test_no_prediction_is_no_reproach():
    comparison = compare({}, "kept", 72, unit="%")
    assert repr(comparison).startswith("Measured: 72 %. You made no prediction here")


def test_the_seeds_decide_which_options_tie():
    answer = decide(SEEDS, OPTIONS, best="lowest")
    assert answer.right == ("MLP", "all")
    said = repr(compare({"b": "all"}, "b", SEEDS, options=OPTIONS, best="lowest"))
    assert "measured: MLP and all, which are not told apart. That came out." in said
    said = repr(compare({"b": "q, v"}, "b", SEEDS, options=OPTIONS, best="lowest"))
    assert "Another one came out." in said and "0.0993 ± 0.0038 (p < 0.001" in said
    assert decide(SEEDS, OPTIONS, best="highest").right == ("q, v",)


def test_an_option_may_say_that_it_cannot_be_told():
    options = [*OPTIONS, "the seeds cannot tell"]
    tied = {"options": options, "tied": options[-1]}
    assert decide(SEEDS, best="lowest", **tied).right == ("the seeds cannot tell",)
    assert decide(SEEDS, best="highest", **tied).right == ("q, v",)


def test_single_numbers_tie_within_a_tolerance():
    numbers = {"a": 1.0, "b": np.float32(1.004), "c": 2.0}
    assert decide(numbers, best="lowest").right == ("a",)
    assert decide(numbers, best="lowest", tie=0.01).right == ("a", "b")
    assert decide(numbers, best="highest").right == ("c",)
    assert [row[2] for row in decide(numbers, best="highest").rows] == ["", "", "highest"]


def test_what_was_seen_is_true_or_false():
    seen = {"an error": False, "a warning": np.bool_(False), "nothing": True}
    assert decide(seen, list(seen)).right == ("nothing",)
    said = compare({"typo": "an error"}, "typo", seen, options=list(seen))
    assert repr(said) == "You predicted an error; measured: nothing. Another one came out."


def test_a_number_goes_to_the_nearest_option():
    said = compare({"x": 4}, "x", 3.1, "times", options=[0.25, 1, 4, 16])
    assert "measured: 3.1 times, nearest to 4 times. That came out." in repr(said)
    assert decide(1.9, [1, 4, 16]).right == (1,) and decide(2.1, [1, 4, 16]).right == (4,)
    assert decide(-0.4, [-1, 0, 1]).right == (0,)


def test_why_is_said_after_the_result():
    said = compare({"x": 4}, "x", 3.1, why="Adam divides the size <out>.")
    assert repr(said).splitlines()[-1] == "Why: Adam divides the size <out>."
    assert "<b>Why:</b> Adam divides the size &lt;out&gt;." in said._repr_html_()


@pytest.mark.parametrize(
    ("measured", "how", "message"),
    [
        ("qv", {}, "'qv', is none of the options"),
        ({"q, v": 1.0, "MLP": 2.0}, {"best": "lowest"}, r"measured for the options \['all'\]"),
        ({"q": 1.0, "MLP": 2.0, "all": 3.0}, {"best": "lowest"}, "'q' is none of the options"),
        (dict.fromkeys(OPTIONS, 1.0), {}, 'best must be "lowest" or "highest"'),
        (dict.fromkeys(OPTIONS, False), {}, "nothing came out"),
        (dict.fromkeys(OPTIONS, True), {"tied": "tie"}, "tied='tie' is none of the options"),
        ({"q, v": 1.0, "MLP": "x", "all": 3.0}, {"best": "lowest"}, "a bool, a number, or"),
    ],
)
def test_what_cannot_be_an_answer_is_refused(measured, how, message):
    with pytest.raises(ValueError, match=message):
        compare({"key": "MLP"}, "key", measured, options=OPTIONS, **how)


def test_a_lesson_knows_the_options_and_the_reason(monkeypatch):
    lesson = ll.lesson("05")
    monkeypatch.setattr(
        lesson._module, "WHY", {"best": "The MLP holds most weights."}, raising=False
    )
    lesson.predict("best", "Which?", options=OPTIONS, answer="MLP")
    said = repr(lesson.compare("best", SEEDS, best="lowest"))
    assert said.startswith("You predicted MLP; measured: MLP and all")
    assert said.endswith("Why: The MLP holds most weights.")
    with pytest.raises(ValueError, match="none of the options"):
        lesson.compare("best", "everything")


def test_an_example_prediction_is_called_one(monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_EXAMPLES", "1")
    lesson = ll.lesson("05")
    lesson.predict("best", "Which?", options=OPTIONS)
    lesson.predict("best", "Which?", options=OPTIONS)  # the cell run again
    assert repr(lesson.compare("best", SEEDS, best="lowest")).startswith(
        "The example prediction is"
    )
