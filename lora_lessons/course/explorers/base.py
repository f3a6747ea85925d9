"""The explorer: controls above a picture that is drawn again when one of them moves.

The picture is an <img> in an HTML widget. An Output widget would hide errors and tracebacks, and
would stay empty where notebooks are run without a front end.
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
    from ipywidgets import VBox
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Panel:
    """The widgets of an explorer; where there is no front end for them, a line of text."""

    widget: VBox
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return widget_bundle(self.widget, self.text, **kwargs)


class Explorer:
    """A function of a few values drawn as a figure, with a control for each value.

    `draw(**values)` returns the figure, `alt(**values)` says in words what it shows.
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
        text = f"{self.title} (a panel with {len(self.controls)} controls; it needs a live kernel)"
        return Panel(self.widget(), text)

    def widget(self) -> VBox:
        """The panel's widgets: the title, the controls in their order, the picture."""
        import ipywidgets

        screen = ipywidgets.HTML()
        widgets = {name: control.widget() for name, control in self.controls.items()}

        def redraw(_: Any = None) -> None:
            values = {name: widget.value for name, widget in widgets.items()}
            try:
                screen.value = self._picture(values).html
            except Exception as error:
                screen.value = f'<p role="alert">{escape(f"{type(error).__name__}: {error}")}</p>'
                raise

        for widget in widgets.values():
            widget.observe(redraw, names="value")
        redraw()
        title = ipywidgets.HTML(f"<b>{escape(self.title)}</b>")
        return ipywidgets.VBox([title, *widgets.values(), screen])

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
            *_, screen = panel = self.widget().children
            widget = panel[1 + list(self.controls).index(name)]
            for value in control.probes():
                widget.value = value
                seen[name, value] = screen.value
        return seen

    def _picture(self, values: dict[str, Any]) -> Picture:
        return picture(self.draw(**values), self.alt(**values))

    def _complete(self, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if name not in self.controls:
                raise ValueError(f"no control {name!r}{nearest_and_known(name, self.controls)}")
            self.controls[name].check(name, value)
        return {name: control.start for name, control in self.controls.items()} | values
