"""The card: the page of statements that the course is built on, and that it tests, all."""

from __future__ import annotations

import re

from .ledger import CARD


class CardText:
    """The card as it was written: HTML where that is shown, else its Markdown."""

    def __init__(self, markdown: str) -> None:
        self.markdown = markdown

    def __repr__(self) -> str:
        return self.markdown

    def _repr_html_(self) -> str:
        """In a frame of its own. Its headings are bold lines: they are no parts of the notebook."""
        from markdown_it import MarkdownIt

        html = MarkdownIt("commonmark").enable("table").render(self.markdown)
        html = re.sub(r"<h[1-6]>", '<p style="font-weight: bold">', html)
        html = re.sub(r"</h[1-6]>", "</p>", html)
        html = html.replace("<th>", '<th scope="col">').replace("<pre>", '<pre tabindex="0">')
        frame = "border: 1px solid currentColor; border-radius: 6px; padding: 4px 16px"
        return f'<section aria-label="The card" style="{frame}">{html}</section>'


def card() -> CardText:
    """The card, whole."""
    return CardText(CARD.read_text(encoding="utf-8"))
