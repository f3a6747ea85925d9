"""Lesson 08: a passage cut into pieces, and the pieces whose label counts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ...base.load import load_base
from ...base.tasks import punctuation
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Whole
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASES = ("nano_encoder", "encoder")
RULES = ("first piece", "last piece", "every piece")
SHOWN = 12  # words
COLUMNS = 8  # pieces in a line of the picture


class Pieces(NamedTuple):
    """The pieces of a passage, the label of each (None where it does not count), its words."""

    pieces: list[str]
    labels: list[str | None]
    words: int


@cache
def tokenizer(base: str) -> Any:
    """The tokenizer of a base model."""
    return load_base(base)[1]


def cut(number: int, base: str, rule: str) -> Pieces:
    """Passage `number` of the validation part in pieces, and its labels by a rule."""
    words, labels = punctuation.passages("valid")[number]
    words, labels = words[:SHOWN], labels[:SHOWN]
    encoded = tokenizer(base)([list(words)], is_split_into_words=True)
    ids = encoded.word_ids(0)
    before, after = [None, *ids[:-1]], [*ids[1:], None]
    counted = [
        word is not None
        and (
            rule == "every piece"
            or (rule == "first piece" and word != before[i])
            or (rule == "last piece" and word != after[i])
        )
        for i, word in enumerate(ids)
    ]
    names = [
        punctuation.LABELS[labels[word]] if on else None
        for word, on in zip(ids, counted, strict=True)
    ]
    return Pieces(encoded.tokens(0), names, len(words))


def draw(number: int, base: str, rule: str) -> Figure:
    """Every piece in a box, line by line; below it its label, or -100."""
    pieces, labels, words = cut(number, base, rule)
    figure, (axis,) = new_figure()
    lines = -(-len(pieces) // COLUMNS)
    figure.set_size_inches(8.0, 0.8 + 0.62 * lines)
    for place, (piece, label) in enumerate(zip(pieces, labels, strict=True)):
        x, y = place % COLUMNS, -(place // COLUMNS)
        colour = PALETTE[0] if label else PALETTE[-1]
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": colour}
        axis.text(x, y, piece, ha="center", va="bottom", bbox=box)
        text = label or "-100"
        weight = "bold" if label else "normal"
        axis.text(x, y - 0.12, text, ha="center", va="top", color=colour, fontweight=weight)
    axis.set_xlim(-0.6, COLUMNS - 0.4)
    axis.set_ylim(-lines + 0.3, 0.6)
    axis.axis("off")
    counted = sum(label is not None for label in labels)
    axis.set_title(f"{words} words, {len(pieces)} pieces, {counted} labels that count")
    return figure


def alt(number: int, base: str, rule: str) -> str:
    """What `draw` shows, in words."""
    pieces, labels, words = cut(number, base, rule)
    counted = [f"{piece} {label}" for piece, label in zip(pieces, labels, strict=True) if label]
    return (
        f"Passage {number} cut by the {base}: {words} words, {len(pieces)} pieces. With the label "
        f"on the {rule} {len(counted)} labels count: {', '.join(counted[:6])}, and so on; "
        "the others have -100."
    )


EXPLORERS = {
    "pieces": Explorer(
        "Which pieces have a label?",
        {
            "number": Whole("Passage", 0, 40, 3),
            "base": Choice("Vocabulary of", BASES, "nano_encoder"),
            "rule": Choice("Label on the", RULES, "first piece"),
        },
        draw,
        alt,
    )
}
