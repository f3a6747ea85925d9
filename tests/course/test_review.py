"""Spaced review, by a clock that the test sets: 1, 3, 7 days, then rest; and what is kept."""

from __future__ import annotations

import datetime
import json

import pytest

from lora_lessons.app import cli
from lora_lessons.app.review import ask
from lora_lessons.course import review
from lora_lessons.course.cards import Card
from lora_lessons.course.lesson import lesson_numbers
from lora_lessons.course.review import FILE, Numbered, Review, all_cards
from lora_lessons.course.review_panel import ReviewPanel

CARDS = [Numbered("01", Card(f"question {i}?", f"answer {i}")) for i in range(3)]


class Clock:
    def __init__(self):
        self.day = datetime.date(2026, 12, 1)

    def __call__(self):
        return self.day

    def wait(self, days):
        self.day += datetime.timedelta(days=days)


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """The tests' own setting keeps nothing; here it is the file that is tested."""
    monkeypatch.delenv("LORA_LESSONS_PROGRESS", raising=False)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cards(tmp_path, clock):
    return Review(CARDS, tmp_path, clock)


def asked(one):
    return [each.card.question for each in one.due()]


def test_a_card_that_is_known_comes_after_1_3_and_7_days_and_then_rests(cards, clock):
    first = CARDS[0]
    for days in review.DAYS:
        assert first in cards.due()
        assert cards.answer(first, True) == clock.day + datetime.timedelta(days=days)
        clock.wait(days - 1)
        assert first not in cards.due()
        clock.wait(1)
    assert cards.answer(first, True) is None
    clock.wait(1000)
    assert first not in cards.due() and "1 are learnt" in cards.summary()


def test_a_card_that_is_not_known_begins_anew(cards, clock):
    first = CARDS[0]
    cards.answer(first, True)
    clock.wait(1)
    cards.answer(first, True)
    clock.wait(3)
    assert cards.answer(first, False) == clock.day + datetime.timedelta(days=1)
    clock.wait(1)
    assert cards.answer(first, True) == clock.day + datetime.timedelta(days=1)


def test_what_waited_longest_is_asked_first_and_new_cards_last(cards, clock):
    cards.answer(CARDS[2], False)
    clock.wait(1)
    cards.answer(CARDS[1], False)
    clock.wait(5)
    assert asked(cards) == ["question 2?", "question 1?", "question 0?"]


def test_answers_are_kept_for_the_next_day_and_by_the_question(cards, clock, tmp_path):
    cards.answer(CARDS[0], True)
    mended = [Numbered("01", Card("question 0?", "a better answer")), *CARDS[1:]]
    again = Review(mended, tmp_path, clock)
    assert asked(again) == ["question 1?", "question 2?"]
    assert list(tmp_path.iterdir()) == [tmp_path / FILE]


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"01/x": {"known": "a"}}', '{"a": {"known": 1}}']
)
def test_a_broken_file_asks_everything_and_is_replaced(text, tmp_path, clock):
    (tmp_path / FILE).write_text(text)
    found = Review(CARDS, tmp_path, clock)
    assert len(found.due()) == 3
    found.answer(CARDS[0], True)
    assert json.loads((tmp_path / FILE).read_text())[CARDS[0].key]["known"] == 1


def test_a_folder_that_is_not_there_fails_no_review_and_makes_none(tmp_path, clock):
    found = Review(CARDS, tmp_path / "away", clock)
    found.answer(CARDS[0], True)
    assert len(found.due()) == 2 and not (tmp_path / "away").exists()


def test_the_file_can_be_turned_off(cards, tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_PROGRESS", "0")
    cards.answer(CARDS[0], True)
    assert not (tmp_path / FILE).exists()


def test_the_summary_says_when_the_next_comes(cards):
    for card in CARDS:
        cards.answer(card, True)
    assert cards.summary() == (
        "0 of 3 review cards are due; 0 are learnt. The next comes on 2026-12-02."
    )


def test_all_cards_are_those_of_all_lessons_and_each_has_a_key_of_its_own():
    found = all_cards(lesson_numbers())
    assert {one.lesson for one in found} == set(lesson_numbers())
    assert len({one.key for one in found}) == len(found) >= 4 * len(lesson_numbers())


# --- in a terminal -------------------------------------------------------------------------------


def typed(*lines):
    left = list(lines)

    def read(prompt):
        if not left:
            raise EOFError
        return left.pop(0)

    return read


def test_enter_shows_the_answer_and_y_or_n_is_kept(cards):
    said = []
    assert ask(cards, read=typed("", "what", "Y", "", "n", "q"), say=said.append) == 2
    assert said.index("answer 0") < said.index("It comes again on 2026-12-02.")
    assert {k["known"] for k in cards.kept.values()} == {0, 1}
    assert "answer 2" not in said


def test_the_end_of_the_input_ends_it_and_keeps_what_was_answered(cards):
    assert ask(cards, read=typed("", "y", ""), say=lambda text: None) == 1
    assert len(cards.kept) == 1


def test_at_most_so_many_are_asked(cards):
    said = []
    ask(cards, most=1, read=typed("", "y", "", "y"), say=said.append)
    assert len(cards.kept) == 1


def test_the_command_asks_one_lesson_in_the_learners_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", typed("", "y", "q"))
    assert cli.main(["review", "01", "--dir", str(tmp_path)]) == 0
    assert "lesson 01:" in capsys.readouterr().out
    assert len(review.read(tmp_path)) == 1
    assert cli.main(["review", "77", "--dir", str(tmp_path)]) == 2
    assert cli.main(["review", "--dir", str(tmp_path / "away")]) == 1
    assert "no lesson '77'" in capsys.readouterr().err


# --- in a notebook -------------------------------------------------------------------------------


def test_the_panel_shows_the_answer_only_when_it_is_asked(cards):
    panel = ReviewPanel(cards)
    assert "question 0?" in panel.said.value and "answer 0" not in panel.said.value
    assert panel.known.disabled and not panel.show.disabled
    panel.show.click()
    assert "answer 0" in panel.said.value and panel.show.disabled
    panel.known.click()
    assert "question 1?" in panel.said.value and "2026-12-02" in panel.said.value


def test_the_panel_ends_with_the_summary(cards):
    panel = ReviewPanel(cards)
    for _ in CARDS:
        panel.show.click()
        panel.not_known.click()
    assert "0 of 3 review cards are due" in panel.said.value
    assert panel.show.disabled and panel.known.disabled
    assert {k["known"] for k in cards.kept.values()} == {0}


def test_without_widgets_the_panel_says_how_to_be_asked(cards):
    bundle = ReviewPanel(cards)._repr_mimebundle_()
    data = bundle if "text/plain" in bundle else bundle[0]
    assert "3 of 3 review cards are due" in data["text/plain"]
    assert "lora-lessons review" in data["text/plain"]
