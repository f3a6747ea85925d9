"""Spaced review in a notebook: one card at a time, by the browser's own buttons."""

from __future__ import annotations

from html import escape
from typing import Any

from .messages import widget_bundle
from .review import Review

MOST = 20  # cards at a sitting


class ReviewPanel:
    """A question, a button for its answer, and two to say whether it was known.

    The buttons take the Tab key, Enter and the space bar. Where no widget can be shown, the text
    says how many cards are due, and how to be asked in a terminal.
    """

    def __init__(self, review: Review, most: int = MOST) -> None:
        import ipywidgets

        self.review = review
        self.left = review.due()[:most]
        self.said = ipywidgets.HTML()
        self.show = ipywidgets.Button(description="Show the answer")
        self.known = ipywidgets.Button(description="I knew it")
        self.not_known = ipywidgets.Button(description="Not yet")
        self.show.on_click(lambda _: self._open())
        self.known.on_click(lambda _: self._next(True))
        self.not_known.on_click(lambda _: self._next(False))
        buttons = ipywidgets.HBox([self.show, self.known, self.not_known])
        self.widget = ipywidgets.VBox([self.said, buttons])
        self._ask("")

    def _ask(self, before: str) -> None:
        opened = not self.left
        self._enable(show=not opened, judge=False)
        if opened:
            text = self.review.summary()
        else:
            one = self.left[0]
            text = f"{len(self.left)} left. Lesson {one.lesson}: {one.card.question}"
        self.said.value = f'<div role="status"><p>{escape(before)}</p><p>{escape(text)}</p></div>'

    def _open(self) -> None:
        one = self.left[0]
        self._enable(show=False, judge=True)
        self.said.value = (
            f'<div role="status"><p>{escape(one.card.question)}</p>'
            f"<p>{escape(one.card.answer)}</p></div>"
        )

    def _next(self, known: bool) -> None:
        again = self.review.answer(self.left.pop(0), known)
        self._ask(f"It comes again on {again.isoformat()}." if again else "It is learnt.")

    def _enable(self, show: bool, judge: bool) -> None:
        self.show.disabled = not show
        self.known.disabled = self.not_known.disabled = not judge

    def __repr__(self) -> str:
        return f"{self.review.summary()} In a terminal: lora-lessons review."

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return widget_bundle(self.widget, repr(self), **kwargs)
