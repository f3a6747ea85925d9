"""Ungraded questions with options: after each answer, why it is right or not, and what to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .messages import widget_bundle


@dataclass(frozen=True)
class Question:
    """A question, its options with what to say to each, the right one's index, where to read."""

    text: str
    options: Sequence[tuple[str, str]]
    right: int
    reading: str

    def __post_init__(self) -> None:
        if len(self.options) < 2 or not 0 <= self.right < len(self.options):
            raise ValueError(f"{self.text!r}: two options at least, and right is one's index")
        if silent := [option for option, why in self.options if not why.strip()]:
            raise ValueError(f"{self.text!r}: say why {silent[0]!r} is right or not")

    def feedback(self, choice: int | None) -> str:
        """What to say to a choice: why, and for a wrong one what to read."""
        if choice is None:
            return ""
        option, why = self.options[choice]
        if choice == self.right:
            return f"Right: {option}. {why}"
        return f"{option}: no. {why} Read: {self.reading}"


class Quiz:
    """Radio buttons in a notebook (they work by keyboard); as text where no kernel runs."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = tuple(questions)

    def __repr__(self) -> str:
        return "\n".join(
            f"{number}. {asked.text}\n"
            + "\n".join(f"   ( ) {option}" for option, _ in asked.options)
            for number, asked in enumerate(self.questions, 1)
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return widget_bundle(self.panel(), repr(self), **kwargs)

    def panel(self) -> Any:
        """The questions as one ipywidgets box."""
        from ipywidgets import VBox

        return VBox([self._ask(i, question) for i, question in enumerate(self.questions, 1)])

    def _ask(self, number: int, question: Question) -> Any:
        from ipywidgets import HTML, RadioButtons, VBox

        title = HTML(f"<b>{number}. {escape(question.text)}</b>")
        buttons = RadioButtons(
            options=[(option, i) for i, (option, _) in enumerate(question.options)],
            value=None,
            layout={"width": "auto"},
        )
        answer = HTML()

        def on_choice(change: dict[str, Any]) -> None:
            answer.value = f'<span role="status">{escape(question.feedback(change["new"]))}</span>'

        buttons.observe(on_choice, names="value")
        return VBox([title, buttons, answer])
