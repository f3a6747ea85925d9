"""Review cards: a question, and the answer behind a fold that opens with mouse or keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Card:
    """One question for spaced review."""

    question: str
    answer: str


class Deck:
    """A lesson's review cards (*the card* is another thing: the text that the course measures).

    Cards as HTML <details>, which need no kernel and work by keyboard; as text elsewhere.
    """

    def __init__(self, cards: Sequence[Card]) -> None:
        self.cards = tuple(cards)

    def __repr__(self) -> str:
        told = "\n".join(f"Q: {card.question}\nA: {card.answer}" for card in self.cards)
        many = "s" if len(self.cards) > 1 else ""
        return f"{len(self.cards)} review card{many}\n{told}"

    def _repr_html_(self) -> str:
        cards = "\n".join(
            f"<details><summary>{escape(card.question)}</summary><p>{escape(card.answer)}</p></details>"
            for card in self.cards
        )
        return f'<section aria-label="Review cards">\n{cards}\n</section>'
