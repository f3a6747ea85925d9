"""What the learner sees: a short text as text and HTML, a widget with a text in its place."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any


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


def widget_bundle(widget: Any, text: str, **kwargs: Any) -> dict[str, Any]:
    """What a notebook gets for a widget, with `text` for where no widget can be shown.

    The widget's own text would list its state, the pictures' data included.
    """
    bundle = widget._repr_mimebundle_(**kwargs)
    data = bundle[0] if isinstance(bundle, tuple) else bundle  # (data, metadata) by protocol
    return {**data, "text/plain": text}
