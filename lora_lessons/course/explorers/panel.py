"""The widget of an explorer: its controls and its picture; panel.js shows them.

The controls are the browser's own, each with its label, and announce the value that they stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from .controls import Control

HERE = Path(__file__).resolve().parent


class PanelWidget(anywidget.AnyWidget):
    """Controls above a picture.

    `chosen` holds what the front end says of each control (a place in its list, or a text), `asked`
    counts its changes and `done` those that are drawn: while they differ the picture is marked old.
    """

    _esm = (HERE / "panel.js").read_text(encoding="utf-8")
    _css = (HERE / "panel.css").read_text(encoding="utf-8")
    title = traitlets.Unicode().tag(sync=True)
    controls = traitlets.List().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    asked = traitlets.Int(0).tag(sync=True)
    done = traitlets.Int(0).tag(sync=True)

    def __init__(
        self, title: str, controls: Mapping[str, Control], draw: Callable[[dict[str, Any]], str]
    ) -> None:
        """`draw` takes {control: value} and returns the picture's HTML."""
        super().__init__(title=title)
        self._known = dict(controls)
        self._draw = draw
        self.controls = [{"name": name, **control.spec()} for name, control in controls.items()]
        self.chosen = {name: control.place(control.start) for name, control in controls.items()}
        self.redraw()
        self.observe(lambda _: self.redraw(), names="chosen")

    def values(self) -> dict[str, Any]:
        """{control: value}, as the controls stand now."""
        return {name: control.at(self.chosen[name]) for name, control in self._known.items()}

    def move(self, name: str, value: Any) -> None:
        """Set one control, as a hand at the keyboard does."""
        place = self._known[name].place(value)
        with self.hold_sync():
            self.asked += 1
            self.chosen = {**self.chosen, name: place}

    def redraw(self) -> None:
        """Draw the picture at these values; an error is shown in its place, and raised."""
        try:
            self.picture = self._draw(self.values())
        except Exception as error:
            told = escape(f"{type(error).__name__}: {error}")
            self.picture = f'<p role="alert">{told}</p>'
            raise
        finally:
            self.done = self.asked
