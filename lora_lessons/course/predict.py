"""Predict, then measure: the learner commits a value before an experiment, and sees it after.

A prediction works in a notebook (a slider or a list, and a button) and in code (`answer=...`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from .messages import widget_bundle
from .plots import PALETTE, Picture, new_figure, show

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure


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

    def __repr__(self) -> str:
        if self.value is not None:
            return f"{self.question}: you predicted {in_words(self.value)}"
        choice = f"{self.low} to {self.high}" if self.options is None else str(list(self.options))
        return (
            f"{self.question} ({choice}): no prediction yet. "
            f"In code: lesson.predict({self.key!r}, ..., answer=...)"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return widget_bundle(self.widget(), repr(self), **kwargs)

    def widget(self) -> VBox:
        """The question, a slider or a list, and a button; after the commit all are locked."""
        import ipywidgets

        choice = self._choice()
        button = ipywidgets.Button(description="Commit", tooltip="Keep this prediction")
        status = ipywidgets.HTML()

        def lock() -> None:
            choice.disabled = button.disabled = True
            status.value = f"You predicted {escape(in_words(self.value))}."

        def commit(_: Any) -> None:
            self.commit(choice.value)
            lock()

        button.on_click(commit)
        if self.value is not None:
            choice.value = self.value
            lock()
        question = ipywidgets.HTML(f"<b>Predict.</b> {escape(self.question)}")
        return ipywidgets.VBox([question, choice, button, status])

    def _choice(self) -> Any:
        import ipywidgets

        style = {"description_width": "initial"}
        if self.options is not None:
            options = [(in_words(option), option) for option in self.options]
            return ipywidgets.RadioButtons(
                options=options, description="Your prediction", style=style
            )
        decimals = len(f"{self.step:g}".partition(".")[2])
        return ipywidgets.FloatSlider(
            value=(self.low + self.high) / 2,
            min=self.low,
            max=self.high,
            step=self.step,
            description="Your prediction",
            style=style,
            readout_format=f".{decimals}f",
        )


@dataclass(frozen=True)
class Comparison:
    """A prediction against the result, in words and, for two numbers, as a picture."""

    text: str
    picture: Picture | None

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.text)}</p>" + (self.picture.html if self.picture else "")


def predict(
    store: dict[str, Any], key: str, question: str, answer: Any = None, **choice: Any
) -> Prediction:
    """Ask for a prediction; `choice` is low, high and step, or options. `answer` commits at once.

    The committed value is `store[key]`. Raises ValueError for a range or an answer that cannot be.
    """
    prediction = Prediction(store, key, question, **choice)
    if answer is not None:
        prediction.commit(answer)
    return prediction


def compare(store: dict[str, Any], key: str, measured: Any, unit: str = "") -> Comparison:
    """Put what was measured beside the prediction `key`, or say kindly that there was none."""
    predicted = store.get(key)
    result = in_words(measured, unit)
    if predicted is None:
        return Comparison(
            f"Measured: {result}. You made no prediction here: next time commit to one first, "
            "even a wild one. A surprise is what you will remember.",
            None,
        )
    text = f"You predicted {in_words(predicted, unit)}; measured: {result}."
    if not all(isinstance(value, int | float) for value in (predicted, measured)):
        return Comparison(text, None)
    return Comparison(text, show(_bars(predicted, measured, unit), alt=f"Two bars. {text}"))


def in_words(value: Any, unit: str = "") -> str:
    """A number with three significant digits, or with thousands, and its unit; else the text."""
    if isinstance(value, int | float):
        whole = isinstance(value, int) or abs(value) >= 1000
        value = f"{value:,.0f}" if whole else f"{value:.3g}"
    return f"{value} {unit}".strip()


def _bars(predicted: float, measured: float, unit: str) -> Figure:
    figure, axes = new_figure()
    figure.set_size_inches(5.6, 1.7)
    bars = axes[0].barh(
        ["measured", "predicted"], [measured, predicted], color=[PALETTE[1], PALETTE[0]]
    )
    axes[0].bar_label(bars, [in_words(value, unit) for value in (measured, predicted)], padding=3)
    axes[0].margins(x=0.2)
    axes[0].grid(False)
    return figure
