"""Drawings of a mechanism: boxes, matrices with their shapes, arrows, as SVG in the page.

A drawing takes its colour and its font from the page (`currentColor`, `inherit`), so it reads in a
light and in a dark theme. What trains is hatched, has a thick border and says so in a word; colour
only repeats it. The same calls make the same text, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

TRAINS, FROZEN, PLAIN = "trains", "frozen", ""
ACCENT = "#4B95D2"  # 3:1 and more on white and on JupyterLab's dark panel
SIZE = 14  # pixels of ordinary text
WIDE = 0.56  # of the size: an ordinary letter's width, a little generous
PAGE = (  # the background in JupyterLab, in VS Code, on Colab, on any other page
    "var(--jp-layout-color0, var(--vscode-editor-background, "
    "var(--colab-primary-surface-color, Canvas)))"
)
HALO = f"paint-order: stroke; stroke: {PAGE}; stroke-width: 4px"
"""The page's own background around each letter, so that hatching does not cross it."""
LINE = 1.25  # of the size: from one line of text to the next

Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """Something drawn, with the middles of its sides for arrows to start and end at."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        """The middle of the left edge."""
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        """The middle of the right edge."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        """The middle of the upper edge."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        """The middle of the lower edge."""
        return self.x + self.width / 2, self.y + self.height

    @property
    def middle(self) -> Point:
        """The centre."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass
class Drawing:
    """A drawing of `width` x `height` pixels; it is scaled down where the page is narrower.

    `title` names it in a few words, `text` says all that it shows, for those who hear it.
    """

    title: str
    text: str
    width: float
    height: float
    _marks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.text.strip()) < 40 or not self.title.strip():
            raise ValueError("a drawing needs a title, and a text of 40 characters that tells it")

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: Sequence[str] | str = (),
        state: str = PLAIN,
        *,
        round_by: float = 8,
        below: bool = False,
        word: str | None = None,
    ) -> Part:
        """A box with lines of text in it, the first one bold, or `below` it where it is narrow.

        `state` is TRAINS (hatched), FROZEN or PLAIN; the last line is `word`, or its own. Raises
        ValueError where the box leaves the drawing or a line is wider than the box.
        """
        part = Part(x, y, width, height)
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(f"the box {lines!r} leaves the drawing")
        self._rect(part, state, round_by)
        words = [lines] if isinstance(lines, str) else list(lines)
        words += [word or state] if state else []
        if below:
            self._lines(words, part.bottom[0], y + height + SIZE * LINE)
        else:
            self._fit(words, width)
            half = (len(words) - 1) / 2 * SIZE * LINE
            self._lines(words, part.middle[0], part.middle[1] - half + SIZE * 0.35)
        return part

    def matrix(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        name: str,
        shape: tuple[object, object],
        state: str = PLAIN,
        *,
        below: bool = False,
    ) -> Part:
        """A matrix as a sharp rectangle with its name, its shape (rows, columns) and its state."""
        lines = [name, f"({shape[0]}, {shape[1]})"]
        return self.box(x, y, width, height, lines, state, round_by=0, below=below)

    def hatched(self, x: float, y: float, width: float, height: float) -> Part:
        """A part of a matrix that is marked by hatching; a label has to say what it is."""
        part = Part(x, y, width, height)
        self._rect(part, TRAINS, 0)
        return part

    def circle(self, x: float, y: float, radius: float, text: str) -> Part:
        """A circle with a sign in it: a sum, a product."""
        self._marks.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="none" '
            'stroke="currentColor" stroke-width="1.5"/>'
        )
        self._lines([text], x, y + SIZE * 0.35)
        return Part(x - radius, y - radius, 2 * radius, 2 * radius)

    def arrow(
        self, *points: Point, label: str = "", dashed: bool = False, head: bool = True
    ) -> None:
        """An arrow through these points; `label` stands over the middle of its first piece."""
        if len(points) < 2:
            raise ValueError("an arrow goes through two points at least")
        way = " L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        end = f' marker-end="url(#{self._id}-a)"' if head else ""
        self._marks.append(
            f'<path d="M{way}" fill="none" stroke="currentColor" stroke-width="1.5"{dash}{end}/>'
        )
        if label:
            (x0, y0), (x1, y1) = points[:2]
            self.label((x0 + x1) / 2, (y0 + y1) / 2 - 6, label)

    def label(
        self, x: float, y: float, text: str, *, anchor: str = "middle", bold: bool = False
    ) -> None:
        """A line of text; `anchor` is start, middle or end, as in SVG."""
        weight = ' font-weight="bold"' if bold else ""
        self._marks.append(
            f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{weight} style="{HALO}">'
            f"{escape(text)}</text>"
        )

    def legend(self, x: float, y: float, trains: str = "trains") -> None:
        """What hatching means, in a line that begins at (x, y)."""
        second = 60 + len(trains) * SIZE * WIDE
        for place, state, words in ((0, TRAINS, trains), (second, FROZEN, "frozen: not updated")):
            self._rect(Part(x + place, y, 26, 18), state, 0)
            self.label(x + place + 34, y + 14, words, anchor="start")

    @property
    def svg(self) -> str:
        """The drawing as one <svg>, with its title and text for a screen reader."""
        name = self._id
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'aria-labelledby="{name}-t {name}-d" '
            f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" width="{_n(self.width)}" '
            f'style="max-width: 100%; height: auto; font-family: inherit; font-size: {SIZE}px" '
            'fill="currentColor">'
            f'<title id="{name}-t">{escape(self.title)}</title>'
            f'<desc id="{name}-d">{escape(self.text)}</desc>'
            f'<defs><pattern id="{name}-h" width="8" height="8" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><path d="M0 0V8" stroke="currentColor" '
            'stroke-opacity="0.35" stroke-width="2"/></pattern>'
            f'<marker id="{name}-a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0 0L10 5L0 10z"/></marker></defs>'
            f"{''.join(self._marks)}</svg>"
        )

    @property
    def alt(self) -> str:
        """The title and the text."""
        return f"{self.title}. {self.text}"

    def __repr__(self) -> str:
        return f"drawing: {self.alt}"

    def _repr_html_(self) -> str:
        return self.svg

    @property
    def _id(self) -> str:
        """The same for the same drawing, another for another one on the page."""
        return "d" + hashlib.sha256(self.alt.encode()).hexdigest()[:8]

    def _fit(self, words: Sequence[str], width: float) -> None:
        for word in words:
            if len(word) * SIZE * WIDE > width:
                raise ValueError(
                    f"{word!r} is wider than its box of {width:g} pixels: set it below"
                )

    def _lines(self, words: Sequence[str], x: float, y: float) -> None:
        for number, word in enumerate(words):
            self.label(x, y + number * SIZE * LINE, word, bold=number == 0)

    def _rect(self, part: Part, state: str, round_by: float) -> None:
        shape = f'x="{_n(part.x)}" y="{_n(part.y)}" width="{_n(part.width)}" '
        shape += f'height="{_n(part.height)}" rx="{_n(round_by)}"'
        if state == TRAINS:
            self._marks.append(f'<rect {shape} fill="{ACCENT}" fill-opacity="0.2" stroke="none"/>')
            self._marks.append(f'<rect {shape} fill="url(#{self._id}-h)" stroke="none"/>')
        thick = 3 if state == TRAINS else 1.5
        self._marks.append(
            f'<rect {shape} fill="none" stroke="currentColor" stroke-width="{thick}"/>'
        )


def _n(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
