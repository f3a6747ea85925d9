"""A short text for the learner, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Note:
    """Shown as a paragraph, or as a block of code when `code` is set."""

    text: str
    code: bool = False

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        tag = "pre" if self.code else "p"
        return f"<{tag}>{escape(self.text)}</{tag}>"
