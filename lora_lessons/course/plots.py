"""Figures that every learner can read: one palette, a light solid panel, and an alt text.

JupyterLab gives image outputs no alt text, so a figure is shown as an HTML <img alt="...">.
Figures are made without pyplot: nothing global is kept, and none stays open.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from .alt_text import describe
from .drawing import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#00429A", "#C58200", "#0AA364", "#815374", "#4B95D2", "#592D01", "#222222")
"""Okabe and Ito's hues without yellow, darkened until each has a contrast of 3:1 on the panel.

In order: blue, orange, green, purple, sky, brown, and near-black for reference lines. Each pair
also stays apart under deuteranopia and protanopia (a test simulates both).
"""
PANEL = "#FAFAFA"
TEXT = "#222222"
GRID = "#D8D8D8"
SMALLEST_TEXT = 10  # points
SHORTEST_ALT = 20  # characters
INCHES = {1: (6.4, 4.2), 2: (4.8, 3.8)}  # one panel by itself; each of two
MANY = (3.9, 3.6)  # each of three or more
DPI = 120


@dataclass(frozen=True)
class Picture:
    """A figure as HTML; where there is only text, its alt text."""

    alt: str
    html: str

    def __repr__(self) -> str:
        return f"figure: {self.alt}"

    def _repr_html_(self) -> str:
        return self.html


SHOWN: list[tuple[Figure, Picture]] = []
"""Every figure that `show` has shown in this process, so that a test can look at each."""


def new_figure(rows: int = 1, cols: int = 1, about: str = "") -> tuple[Figure, list[Axes]]:
    """Return a figure in the course's style and its axes, row by row.

    `about` says in one sentence what the figure is of; its alt text begins with it. The rest of the
    alt text is read off what is drawn. `figure.alt = "..."` puts words of its own in its place.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style()):
        width, height = INCHES.get(cols, MANY)
        size = (width * cols, height * rows)
        figure = Figure(figsize=size, facecolor=PANEL, layout="constrained")
        axes = [figure.add_subplot(rows, cols, i + 1) for i in range(rows * cols)]
    figure.about = about
    return figure, axes


def _style() -> dict[str, Any]:
    """The settings that matplotlib reads when a figure and its axes are made."""
    from matplotlib import cycler

    dark = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(dark, TEXT),
        "font.size": 11,
        "axes.titlesize": 11,
        "axes.labelsize": 11,
        "xtick.labelsize": SMALLEST_TEXT,
        "ytick.labelsize": SMALLEST_TEXT,
        "axes.facecolor": PANEL,
        "axes.prop_cycle": cycler(color=PALETTE),
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }


def show(
    figure: Figure | Drawing, alt: str | None = None, width: int | None = None
) -> Picture | Drawing:
    """Return the figure as something a notebook shows, with `alt` read out by a screen reader.

    `alt` says in words what the figure shows, in at least 20 characters; without it the figure's
    own words do (`alt_of`). `width` is in pixels. A drawing comes back as it is.
    """
    if isinstance(figure, Drawing):
        return figure
    shown = picture(figure, alt_of(figure) if alt is None else alt, width)
    SHOWN.append((figure, shown))
    return shown


def alt_of(figure: Figure) -> str:
    """The figure's `alt` where it has one, else what is drawn in it, in words."""
    return getattr(figure, "alt", "") or describe(figure, getattr(figure, "about", ""))


def picture(figure: Figure, alt: str, width: int | None = None) -> Picture:
    """Draw a figure into HTML: an <img> that holds its own data, and its alt text."""
    if not isinstance(alt, str) or len(alt.strip()) < SHORTEST_ALT:
        raise ValueError(
            f"alt must say what the figure shows, in at least {SHORTEST_ALT} characters; "
            f"got {alt!r}"
        )
    _enlarge_small_text(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=figure.get_facecolor())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = width or round(96 * figure.get_figwidth())  # 96 CSS pixels an inch
    html = (
        f'<img alt="{escape(alt)}" width="{width}" style="max-width: 100%; height: auto" '
        f'src="data:image/png;base64,{data}">'
    )
    return Picture(alt, html)


def _enlarge_small_text(figure: Figure) -> None:
    """Text smaller than 10 points, a legend made "small" say, is drawn at 10 points."""
    from matplotlib.text import Text

    texts: Sequence[Any] = figure.findobj(Text)
    for text in texts:
        text.set_fontsize(max(SMALLEST_TEXT, text.get_fontsize()))
