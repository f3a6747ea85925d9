"""After Sphinx: solutions are folded in, out of the search's reach, and labels are mended."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

PLACE = re.compile(r'<div class="solution-place" id="(?P<id>[\w.-]+)"></div>')
LABEL = re.compile(r'<summary aria-label="[^"]*"')
EMPTY_HEAD = re.compile(r'<th(?: scope="col")?(?P<rest>[^>]*)>(?:<p></p>)?</th>')
SEARCH = re.compile(r'(<button[^>]*search-button-field[^>]*?) aria-label="Search"')
TABLE = re.compile(r"<table(?![^>]*tabindex)")
LANDMARKS = {
    '<nav class="bd-links': '<nav aria-label="Pages" class="bd-links',
    '<div class="sidebar-primary-items__start': (
        '<div role="navigation" aria-label="Course" class="sidebar-primary-items__start'
    ),
}
SOLUTIONS = "solutions.json"
SUMMARY = "Show a solution"


def folded(solution: str, is_code: bool) -> str:
    """One solution as a folded block. Not in the page that Sphinx indexed, so not in its search."""
    text = highlight(solution, PythonLexer(), HtmlFormatter()) if is_code else solution
    body = text if is_code else f"<pre>{escape(solution)}</pre>"
    return f'<details class="solution"><summary>{SUMMARY}</summary>{body}</details>'


def mended(page: str) -> str:
    """The theme's page with labels that say what is shown, and parts that a keyboard reaches."""
    page = LABEL.sub("<summary", page)
    page = EMPTY_HEAD.sub(r"<td\g<rest>></td>", page)  # a corner without words is no header
    page = TABLE.sub('<table tabindex="0"', page)  # it scrolls where the screen is narrow
    page = SEARCH.sub(r"\1", page)  # its own text says "Search", and the keys
    for old, new in LANDMARKS.items():
        page = page.replace(old, new)
    return page


def finish(app: Any, exception: Exception | None) -> None:
    """Fill in each solution, and take away labels that say something else than is shown."""
    if exception or app.builder.name != "html":
        return
    solutions = json.loads((Path(app.srcdir) / SOLUTIONS).read_text(encoding="utf-8"))

    def fill(match: re.Match[str]) -> str:
        return folded(*solutions[match["id"]])

    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        new = mended(PLACE.sub(fill, text))
        if new != text:
            page.write_text(new, encoding="utf-8")
    for macros in Path(app.outdir, "_static").glob("*webpack-macros.html"):
        macros.unlink()


def setup(app: Any) -> dict[str, bool]:
    """Have `finish` called when the pages are written."""
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
