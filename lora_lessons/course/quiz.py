"""Ungraded questions with options: what to read is shown after each answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Question = tuple[str, tuple[str, ...], int, str]
"""(question, options, index of the right option, where to read)"""


def feedback(question: Question, choice: int | None) -> str:
    """What to say to a choice."""
    _, options, right, reading = question
    if choice is None:
        return ""
    if choice == right:
        return "Right."
    return f"Not this one: {options[right]!r}. Read: {reading}"


class Quiz:
    """Radio buttons in a notebook (they work by keyboard); plain text where no kernel runs."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = tuple(questions)

    def __repr__(self) -> str:
        return "\n".join(f"{i}. {q[0]}" for i, q in enumerate(self.questions, 1))

    def panel(self) -> Any:
        """The questions as one ipywidgets box."""
        from ipywidgets import VBox

        return VBox([self._ask(i, question) for i, question in enumerate(self.questions, 1)])

    def _ask(self, number: int, question: Question) -> Any:
        from ipywidgets import HTML, Layout, RadioButtons, VBox

        text, options, _, _ = question
        title = HTML(f"<b>{number}. {text}</b>")
        buttons = RadioButtons(
            options=[(option, i) for i, option in enumerate(options)],
            value=None,
            layout=Layout(width="auto"),
        )
        answer = HTML()

        def on_choice(change: dict[str, Any]) -> None:
            answer.value = feedback(question, change["new"])

        buttons.observe(on_choice, names="value")
        return VBox([title, buttons, answer])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.panel())
