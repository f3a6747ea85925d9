"""Lesson 10: the recorded loss against the learning rate, for each rank and both rules of alpha."""

from __future__ import annotations

from functools import cache
from statistics import mean
from typing import TYPE_CHECKING

from ...experiments.lesson01 import ALPHA_RULES
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Steps
from ..plots import PALETTE, new_figure
from ..recorded import load
from ..statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANKS = [1, 2, 4, 8, 16, 32, 64, 128]
RATES = [3e-4, 1e-3, 3e-3, 1e-2]
RULES = list(ALPHA_RULES)
HIGHEST = 4.5  # losses above leave the picture


@cache
def losses(rule: str, r: int, lr: float) -> list[float]:
    """The best validation loss of each seed of `01_rank_sweep`."""
    rows = load("01_rank_sweep").data
    return [row["best"] for row in rows if (row["rule"], row["r"], row["lr"]) == (rule, r, lr)]


def best_rate(rule: str, r: int) -> float:
    """The rate with the lowest mean loss of one rank."""
    return min(RATES, key=lambda lr: mean(losses(rule, r, lr)))


def draw(rule: str, r: int, lr: float) -> Figure:
    """Left the U-curve of the chosen rank among the others; right the best rate of each rank."""
    figure, axes = new_figure(1, 2)
    for rank in RANKS:
        curve = [mean(losses(rule, rank, rate)) for rate in RATES]
        mine = rank == r
        look = {"color": PALETTE[0], "linewidth": 2.2, "marker": "o", "label": f"r = {r}"}
        axes[0].plot(RATES, curve, **(look if mine else {"color": "#9A9A9A", "linewidth": 0.8}))
    here = losses(rule, r, lr)
    axes[0].errorbar(
        lr, mean(here), half_width95(here), fmt="s", color=PALETTE[1], capsize=5, markersize=9,
        label="your choice",
    )  # fmt: skip
    axes[0].set_xscale("log")
    axes[0].set_ylim(3.98, HIGHEST)
    axes[0].set_xlabel("learning rate (grey: the other ranks)")
    axes[0].set_ylabel("best validation loss")
    axes[0].set_title(f"{rule}: {mean(here):.3f} at {lr:g}")
    axes[0].legend()
    for i, other in enumerate(RULES):
        axes[1].plot(
            RANKS, [best_rate(other, rank) for rank in RANKS], "os"[i] + "-", color=PALETTE[i],
            label=other,
        )  # fmt: skip
    axes[1].axvline(r, color=PALETTE[-1], linestyle=":")
    axes[1].set_xscale("log", base=2)
    axes[1].set_yscale("log")
    axes[1].set_xticks(RANKS, [str(rank) for rank in RANKS])
    axes[1].set_yticks(RATES, [f"{rate:g}" for rate in RATES])
    axes[1].set_xlabel("rank r")
    axes[1].set_title("the best of the four rates")
    axes[1].legend()
    return figure


def alt(rule: str, r: int, lr: float) -> str:
    """What `draw` shows, in words."""
    curve = ", ".join(f"{mean(losses(rule, r, rate)):.3f} at {rate:g}" for rate in RATES)
    best = ", ".join(f"{best_rate(rule, rank):g} at r = {rank}" for rank in RANKS)
    return (
        f"Loss against learning rate on the decoder, {rule}, r = {r}: {curve}; your choice {lr:g}. "
        f"Beside it the best rate of each rank under this rule: {best}."
    )


EXPLORERS = {
    "rates": Explorer(
        "Which learning rate goes with which rank? (recorded on the decoder)",
        {
            "rule": Choice("Rule for lora_alpha", RULES, RULES[1]),
            "r": Steps("Rank r", RANKS, 8),
            "lr": Steps("Learning rate", RATES, 1e-3),
        },
        draw,
        alt,
    )
}
