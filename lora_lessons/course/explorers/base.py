"""The explorer: controls above a picture that is drawn again when one of them moves.

The picture is an <img> in a live region of the panel's own widget (`explorers/panel.py`). An Output
widget would hide errors and tracebacks, and would stay empty where no front end runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ...errors import nearest_and_known
from ..messages import widget_bundle
from ..plots import Picture, picture, show
from .controls import Control

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .panel import PanelWidget


@dataclass(frozen=True)
class Panel:
    """An explorer's widget; where none can be shown, its still picture, folded, or a line."""

    widget: PanelWidget
    text: str
    still: Picture

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        fold = f"<details><summary>{escape(self.text)}</summary>{self.still.html}</details>"
        return {**widget_bundle(self.widget, self.text, **kwargs), "text/html": fold}


class Explorer:
    """A function of a few values drawn as a figure, with a control for each value.

    `draw(**values)` returns the figure, `alt(**values)` says in words what it shows. Its panel
    brings the still picture for where no kernel runs, so a page needs no picture beside it.
    """

    def __init__(
        self,
        title: str,
        controls: Mapping[str, Control],
        draw: Callable[..., Figure],
        alt: Callable[..., str],
    ) -> None:
        self.title = title
        self.controls = dict(controls)
        self.draw = draw
        self.alt = alt

    def __call__(self) -> Panel:
        """A new panel: a title, the controls, the picture."""
        text = (
            f"{self.title} (a still picture: the {len(self.controls)} controls need a live kernel)"
        )
        return Panel(self.widget(), text, self.static())

    def widget(self) -> PanelWidget:
        """The panel's widget: the controls in their order, the picture at their start."""
        from .panel import PanelWidget

        return PanelWidget(self.title, self.controls, lambda values: self._picture(values).html)

    def static(self, **values: Any) -> Picture:
        """The picture at these values (the others at their start), for where no kernel runs."""
        values = self._complete(values)
        return show(self.draw(**values), alt=self.alt(**values))

    def drive(self) -> dict[tuple[str, Any], str]:
        """Move each control of a panel to its ends and its middle, the others at their start.

        Returns {(control, value): the HTML that the panel shows}.
        """
        seen = {}
        for name, control in self.controls.items():
            panel = self.widget()
            for value in control.probes():
                panel.move(name, value)
                seen[name, value] = panel.picture
        return seen

    def _picture(self, values: dict[str, Any]) -> Picture:
        return picture(self.draw(**values), self.alt(**values))

    def _complete(self, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if name not in self.controls:
                raise ValueError(f"no control {name!r}{nearest_and_known(name, self.controls)}")
            self.controls[name].check(name, value)
        return {name: control.start for name, control in self.controls.items()} | values
