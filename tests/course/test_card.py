"""The card is shown whole, and adds no headings to the notebook."""

from __future__ import annotations

import re

import lora_lessons as ll
from lora_lessons.course.cards import Card, Deck
from lora_lessons.course.ledger import CARD


def test_the_card_is_shown_whole():
    shown = ll.card()
    assert repr(shown) == CARD.read_text("utf-8")
    html = shown._repr_html_()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))
    for words in ("Larger r → more expressive", "Most important parameter", "from peft import"):
        assert words in text
    assert html.count("<tr>") == 4 and html.startswith('<section aria-label="The card"')


def test_its_headings_are_no_parts_of_the_notebook():
    html = ll.card()._repr_html_()
    assert not re.search(r"<h\d", html) and '<p style="font-weight: bold">How LoRA' in html
    assert '<pre tabindex="0">' in html  # it may scroll, so a keyboard must reach it


def test_review_cards_are_called_so():
    deck = Deck([Card("Why?", "So.")])
    assert repr(deck) == "1 review card\nQ: Why?\nA: So."
    assert deck._repr_html_().startswith('<section aria-label="Review cards">')
