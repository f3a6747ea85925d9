"""The tables of differences in the stored notebooks, as a reader sees them."""

from __future__ import annotations

import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[3]


class Shown(NamedTuple):
    """One table: its lesson, its caption, its head and its rows of text."""

    lesson: str
    caption: str
    head: list[str]
    rows: list[list[str]]

    @property
    def name(self) -> str:
        """What to call it where it fails."""
        return f"{self.lesson}: {self.caption}"


class _Tables(HTMLParser):
    """Collects (caption, rows of cells) of each table of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[tuple[list[str], list[list[str]]]] = []
        self.into: str | None = None

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "table":
            self.tables.append(([""], []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
        self.into = tag if tag in ("caption", "td", "th") else self.into

    def handle_endtag(self, tag: str) -> None:
        self.into = None if tag == self.into else self.into

    def handle_data(self, data: str) -> None:
        if self.into == "caption":
            self.tables[-1][0][0] += data
        elif self.into:
            self.tables[-1][1][-1][-1] += data


@cache
def all_tables() -> tuple[Shown, ...]:
    """Every table in the stored solutions, in their order."""
    found = []
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        for output in outputs:
            page = "".join(output.get("data", {}).get("text/html", ""))
            reader = _Tables()
            reader.feed(page)
            for (caption,), rows in reader.tables:
                if rows:
                    found.append(Shown(path.name[:2], caption, rows[0], rows[1:]))
    return tuple(found)


def tables() -> list[Shown]:
    """Every table of differences in the stored solutions."""
    return [table for table in all_tables() if table.head[0] == "difference"]


def recording(name: str) -> Any:
    """The data of a recorded run."""
    path = ROOT / "lora_lessons" / "recorded" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["data"]


def rounds_to(value: float, shown: str) -> bool:
    """Whether a number, rounded as a cell shows it, is what stands there."""
    if shown == "< 0.001":
        return value < 0.001
    plain = shown.replace("−", "-")
    decimals = len(plain.partition(".")[2])
    return abs(value - float(plain)) <= 0.5 * 10.0**-decimals * (1 + 1e-6)
