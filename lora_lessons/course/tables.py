"""A table as a notebook shows it: HTML with headers that a screen reader announces, or text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

LEFT = 'style="text-align: left"'  # JupyterLab sets cells to the right, which suits numbers
RIGHT = 'style="text-align: right"'


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first column names the row. Numbers are set to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    note: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"a row has {len(row)} cells, the head {len(self.head)}: {row!r}")

    def __repr__(self) -> str:
        lines = [list(self.head), *map(list, self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        numeric = [self._numeric(i) for i in range(len(self.head))]
        text = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, numeric, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join(filter(None, [self.caption, *text, self.note]))

    def _repr_html_(self) -> str:
        sides = [RIGHT if self._numeric(i) else LEFT for i in range(len(self.head))]
        caption = f"<caption {LEFT}>{escape(self.caption)}</caption>" if self.caption else ""
        head = "".join(map(_head, self.head, sides))
        body = "".join(f"<tr>{_cells(row, sides)}</tr>" for row in self.rows)
        note = f"<p><small>{escape(self.note)}</small></p>" if self.note else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    def _numeric(self, column: int) -> bool:
        """True where every cell begins with a digit, after a sign: set to the right."""
        cells = [row[column].lstrip("−-+<≤≥± ") for row in self.rows]
        return column > 0 and bool(cells) and all(cell[:1].isdigit() or not cell for cell in cells)


def _head(name: str, side: str) -> str:
    """A column's head; without words it is no header, which a screen reader would announce."""
    return f'<th scope="col" {side}>{escape(name)}</th>' if name else f"<td {side}></td>"


def _cells(row: Sequence[str], sides: Sequence[str]) -> str:
    first = f'<th scope="row" {LEFT}>{escape(row[0])}</th>'
    rest = zip(row[1:], sides[1:], strict=True)
    return first + "".join(f"<td {side}>{escape(cell)}</td>" for cell, side in rest)
