"""Lesson 13: a variant and a rate on the recorded curves, and what one rate makes of the order."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ...experiments.variants import ARMS, PLAIN
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Steps
from ..plots import PALETTE, new_figure
from ..recorded import load
from .figures import curve, ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIANTS = [arm for arm in ARMS if arm != PLAIN]
RATES = [1e-4, 3e-4, 1e-3]
HIGHEST = 0.4  # above the lowest loss; what is higher leaves the picture


@cache
def rows() -> list[dict[str, Any]]:
    """The tuning runs on the decoder: every arm over its grid, two seeds."""
    parts = [load(f"13_variants_{number}").data["tuning"] for number in (1, 2, 3)]
    return [row for part in parts for row in part]


@cache
def curves() -> dict[str, dict[float, float]]:
    """{arm: {rate: mean loss of the tuning seeds}}."""
    return {arm: curve(rows(), arm) for arm in ARMS}


def at(lr: float) -> dict[str, float]:
    """{arm: its loss at one rate}, of the arms that were tried there."""
    return {arm: found[lr] for arm, found in curves().items() if lr in found}


def draw(variant: str, lr: float) -> Figure:
    """Left the curves of the variant and of LoRA; right the order of all arms at the rate."""
    figure, axes = new_figure(1, 2)
    lowest = min(min(found.values()) for found in curves().values())
    for i, arm in enumerate((PLAIN, variant)):
        found = curves()[arm]
        look = {"color": PALETTE[i], "marker": "os"[i], "label": arm}
        axes[0].plot(list(found), list(found.values()), **look)
        best = min(found, key=found.__getitem__)
        axes[0].plot(best, found[best], "*", color=PALETTE[i], markersize=16)
    axes[0].axvline(lr, color=PALETTE[-1], linestyle=":", label="your rate")
    axes[0].set_xscale("log")
    axes[0].set_ylim(lowest - 0.02, lowest + HIGHEST)
    axes[0].set_xlabel("learning rate of A (a star marks the best)")
    axes[0].set_ylabel("validation loss")
    axes[0].set_title(f"{variant} and LoRA over the rates")
    axes[0].legend()
    found = at(lr)
    order = ranking(found)
    colours = [PALETTE[(PLAIN, variant).index(a)] if a in (PLAIN, variant) else "#9A9A9A"
               for a in order]  # fmt: skip
    bars = axes[1].barh(order[::-1], [found[a] - lowest for a in order[::-1]],
                        color=colours[::-1])  # fmt: skip
    axes[1].bar_label(bars, fmt="%.3f")
    axes[1].set_xlabel("loss above the lowest of all")
    axes[1].set_title(f"all arms at {lr:g}")
    axes[1].margins(x=0.2)
    return figure


def alt(variant: str, lr: float) -> str:
    """What `draw` shows, in words."""
    both = "; ".join(
        f"{arm} " + ", ".join(f"{loss:.3f} at {rate:g}" for rate, loss in curves()[arm].items())
        for arm in (PLAIN, variant)
    )
    return (
        f"Loss against learning rate on the decoder: {both}. Your rate is {lr:g}; there the "
        f"arms are, lowest loss first: {', '.join(ranking(at(lr)))}."
    )


EXPLORERS = {
    "rates": Explorer(
        "What one learning rate makes of the order (recorded on the decoder)",
        {
            "variant": Choice("Variant", VARIANTS, "rsLoRA"),
            "lr": Steps("Learning rate of A, for all", RATES, 3e-4),
        },
        draw,
        alt,
    )
}
