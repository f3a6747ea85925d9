"""Lesson 14: what n adapters weigh, merged and separate, and how many fit on one card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..explorers.base import Explorer
from ..explorers.controls import Steps
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GIB = 2**30
WIDTH = 2  # bytes of a number in 16 bits
BILLIONS = (1, 3, 8, 13, 70)
SHARES = (0.1, 0.3, 1.0, 3.0)
CARDS = (24, 48, 80, 192)
COUNTS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


def held(n: int, billions: float, share: float, merged: bool) -> float:
    """GiB of n adapted models, whose adapters have `share` % of the base's numbers."""
    base = billions * 1e9 * WIDTH / GIB
    return n * base if merged else base * (1 + n * share / 100)


def most(billions: float, share: float, card: float, merged: bool) -> int:
    """How many adapters fit on a card, weights alone: no cache, no activations."""
    one = held(1, billions, share, merged)
    if one > card:
        return 0
    if merged:
        return int(card / one)
    base = billions * 1e9 * WIDTH / GIB
    return int((card - base) / (base * share / 100))


def draw(billions: float, share: float, card: float) -> Figure:
    """GiB against the number of adapters, both ways, with the card's line."""
    figure, (axis,) = new_figure()
    for merged, label, marker, colour in (
        (True, "merged copies", "s-", PALETTE[1]),
        (False, "one base, adapters beside it", "o-", PALETTE[0]),
    ):
        sizes = [held(n, billions, share, merged) for n in COUNTS]
        axis.plot(COUNTS, sizes, marker, color=colour, label=label)
    axis.axhline(card, color=PALETTE[-1], linestyle="--", label=f"a card of {card:g} GiB")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("adapters held")
    axis.set_ylabel("weights, GiB")
    fits = most(billions, share, card, merged=True), most(billions, share, card, merged=False)
    axis.set_title(f"fit on the card: {fits[0]:,d} merged, {fits[1]:,d} separate")
    axis.legend()
    return figure


def alt(billions: float, share: float, card: float) -> str:
    """What `draw` shows, in words."""
    merged, separate = (most(billions, share, card, way) for way in (True, False))
    return (
        f"Weights in GiB against the number of adapters, for a base of {billions:g} billion "
        f"numbers in 16 bits and adapters of {share:g} % of it. Ten merged copies take "
        f"{held(10, billions, share, True):.1f} GiB, ten adapters beside one base "
        f"{held(10, billions, share, False):.1f}. On a card of {card:g} GiB fit {merged:,d} merged "
        f"models, or {separate:,d} adapters beside one base."
    )


EXPLORERS = {
    "tenants": Explorer(
        "How many tenants fit on one card?",
        {
            "billions": Steps("Base, billions of numbers", BILLIONS, 8),
            "share": Steps("Adapter, % of the base", SHARES, 0.3),
            "card": Steps("Card, GiB", CARDS, 80),
        },
        draw,
        alt,
    )
}
