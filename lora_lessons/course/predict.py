"""Predict, then measure: the learner commits a value before an experiment; see `course.compare`.

A prediction works in a notebook (a slider or a list, and a button) and in code (`answer=...`).
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .messages import widget_bundle

if TYPE_CHECKING:
    from .ask import AskWidget

EXAMPLES = "LORA_LESSONS_EXAMPLES"
"""Set to 1 while a solution is executed: each prediction that nobody makes is an example then."""


@dataclass
class Prediction:
    """One question with a range of numbers or a list of options."""

    store: dict[str, Any]
    key: str
    question: str
    low: float = 0
    high: float = 100
    step: float = 1
    options: Sequence[Any] | None = None
    example: bool = False  # committed for show, where no learner sits at the keyboard

    def __post_init__(self) -> None:
        if self.options is not None and len(self.options) < 2:
            raise ValueError(f"options needs two values at least; got {self.options!r}")
        if self.options is None and not (self.low < self.high and self.step > 0):
            raise ValueError(
                f"low must be below high and step above 0; got low={self.low!r}, "
                f"high={self.high!r}, step={self.step!r}"
            )

    @property
    def value(self) -> Any:
        """The committed value, or None."""
        return self.store.get(self.key)

    def commit(self, value: Any) -> None:
        """Keep the prediction. Raises ValueError for a value that cannot be chosen."""
        if self.options is not None and value not in self.options:
            raise ValueError(f"{value!r} is none of the options {list(self.options)}")
        if self.options is None and not self.low <= value <= self.high:
            raise ValueError(f"{value!r} is not between {self.low} and {self.high}")
        self.store[self.key] = value

    def commit_example(self) -> None:
        """Commit a value that depends on the key alone, so that it gives nothing away."""
        if self.options is None:
            self.commit(self.low + (self.high - self.low) / 4)
        else:
            self.commit(self.options[sum(self.key.encode()) % len(self.options)])
        self.example = True

    def __repr__(self) -> str:
        if self.value is not None:
            whose = "an example prediction" if self.example else "you predicted"
            return f"{self.question}: {whose} {in_words(self.value)}"
        choice = f"{self.low} to {self.high}" if self.options is None else str(list(self.options))
        return (
            f"{self.question} ({choice}): no prediction yet. "
            f"In code: lesson.predict({self.key!r}, ..., answer=...)"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return widget_bundle(self.widget(), repr(self), **kwargs)

    def widget(self) -> AskWidget:
        """The question, a slider or a list, and a button; after the commit all are locked.

        Nothing is chosen beforehand, and the button waits until something is.
        """
        from .ask import AskWidget

        widget = AskWidget(
            question=self.question,
            options=[in_words(option) for option in self.options or ()],
            low=self.low,
            high=self.high,
            step=self.step,
        )
        if self.value is not None:
            widget.lock(self._place(self.value), self._said())
        widget.on_commit(self._commit_place)
        return widget

    def _place(self, value: Any) -> float:
        return value if self.options is None else list(self.options).index(value)

    def _commit_place(self, place: float) -> str:
        self.commit(place if self.options is None else self.options[int(place)])
        return self._said()

    def _said(self) -> str:
        return f"You predicted {in_words(self.value)}."


def predict(
    store: dict[str, Any], key: str, question: str, answer: Any = None, **choice: Any
) -> Prediction:
    """Ask for a prediction; `choice` is low, high and step, or options. `answer` commits at once.

    The committed value is `store[key]`. Raises ValueError for a range or an answer that cannot be.
    """
    prediction = Prediction(store, key, question, **choice)
    if answer is not None:
        prediction.commit(answer)
    elif prediction.value is None and os.environ.get(EXAMPLES) == "1":
        prediction.commit_example()
    return prediction


def in_words(value: Any, unit: str = "") -> str:
    """A number with three significant digits, or with thousands, and its unit; else the text."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        whole = isinstance(value, int) or abs(value) >= 1000
        value = f"{value:,.0f}" if whole else f"{value:.3g}"
    return f"{value} {unit}".strip()
