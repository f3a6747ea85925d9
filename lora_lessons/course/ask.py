"""The widget of a prediction: a question, radio buttons or a slider, a button; ask.js shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).resolve().parent


class AskWidget(anywidget.AnyWidget):
    """`place` is what the front end commits: a place among the options, or a number.

    The button sets it once; then `locked` is true, and `status` says what was predicted.
    """

    _esm = (HERE / "ask.js").read_text(encoding="utf-8")
    _css = (HERE / "ask.css").read_text(encoding="utf-8")
    question = traitlets.Unicode().tag(sync=True)
    options = traitlets.List(traitlets.Unicode()).tag(sync=True)
    low = traitlets.Float(0).tag(sync=True)
    high = traitlets.Float(100).tag(sync=True)
    step = traitlets.Float(1).tag(sync=True)
    place = traitlets.Float(None, allow_none=True).tag(sync=True)
    locked = traitlets.Bool(False).tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)

    def on_commit(self, commit: Callable[[float], str]) -> None:
        """Call `commit` with the place that the button sets, lock, and show the text it returns."""

        def lock(change: dict) -> None:
            if change["new"] is not None and not self.locked:
                self.lock(change["new"], commit(change["new"]))

        self.observe(lock, names="place")

    def lock(self, place: float, status: str) -> None:
        """Show a committed value, and let nobody change it."""
        self.locked, self.place, self.status = True, place, status
