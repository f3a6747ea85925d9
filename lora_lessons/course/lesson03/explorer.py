"""Lesson 03: how far the first step moves W, as r, alpha and the rule of scaling change."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...lora.arithmetic import lora_scaling
from ...seeding import generator
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Steps
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 256
RANKS = [1, 2, 4, 8, 16, 32, 64, 128]
ALPHAS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
RULES = ("alpha / r", "alpha / sqrt(r)")
OPTIMIZERS = ("SGD", "Adam")
BEFORE = (8, 8.0, "alpha / r")  # PEFT's defaults, which everything is compared with


def scaling(r: int, alpha: float, rule: str) -> float:
    """The factor s of the update s B A."""
    return lora_scaling(alpha, r, use_rslora=rule == "alpha / sqrt(r)")


@cache
def _layer() -> tuple[Tensor, Tensor]:
    """A gradient G (out, in) of the layer's weight, and rows to take A (r, in) from."""
    gen = generator(0)
    G = torch.randn(WIDTH, WIDTH, generator=gen, dtype=torch.float64)
    rows = torch.rand(max(RANKS), WIDTH, generator=gen, dtype=torch.float64)
    return G, (2 * rows - 1) / WIDTH**0.5


@cache
def unscaled_falls(r: int) -> dict[str, float]:
    """What the first step takes off the loss per unit of learning rate, at s = 1, first order.

    B moves by -lr D: its gradient G Aᵀ for SGD, the sign of it for Adam. The loss falls by
    lr <G Aᵀ, D>: the square of the gradient, or the sum of its sizes.
    """
    G, rows = _layer()
    gradient = G @ rows[:r].T  # (out, r)
    return {"SGD": gradient.square().sum().item(), "Adam": gradient.abs().sum().item()}


def fall(r: int, alpha: float, rule: str, optimizer: str) -> float:
    """The first step's fall in loss relative to r = 8, alpha = 8: s² for SGD, s for Adam."""
    power = 2 if optimizer == "SGD" else 1

    def absolute(r: int, alpha: float, rule: str) -> float:
        return scaling(r, alpha, rule) ** power * unscaled_falls(r)[optimizer]

    return absolute(r, alpha, rule) / absolute(*BEFORE)


def draw(r: int, alpha: int, rule: str) -> Figure:
    """The scaling against r for both rules, and the first step's fall for both optimizers."""
    figure, axes = new_figure(1, 2)
    for i, name in enumerate(RULES):
        values = [scaling(rank, alpha, name) for rank in RANKS]
        axes[0].plot(RANKS, values, "os"[i] + "-", color=PALETTE[i], label=name)
    here = scaling(r, alpha, rule)
    axes[0].plot([r], [here], "D", color=PALETTE[-1], markersize=10, label="your choice")
    axes[0].set_title(f"s = {scaling(r, alpha, rule):.4g} at r = {r}, alpha = {alpha}")
    axes[0].set_ylabel("scaling s in W + s B A")
    for i, name in enumerate(OPTIMIZERS):
        values = [fall(rank, alpha, rule, name) for rank in RANKS]
        axes[1].plot(RANKS, values, "^v"[i] + "-", color=PALETTE[i + 2], label=name)
        here = fall(r, alpha, rule, name)
        label = "your choice" if i == 0 else None
        axes[1].plot([r], [here], "D", color=PALETTE[-1], markersize=10, label=label)
    axes[1].axhline(
        1, linestyle="--", color=PALETTE[-1], linewidth=1, label="as at r = 8, alpha = 8"
    )
    axes[1].set_title(f"first step with {rule}")
    axes[1].set_ylabel("fall in loss, 1 = at r = 8, alpha = 8")
    for axis in axes:
        _logarithmic(axis)
    return figure


def _logarithmic(axis: Axes) -> None:
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.set_xticks(RANKS, [str(rank) for rank in RANKS])
    axis.set_xlabel("rank r")
    axis.legend()


def alt(r: int, alpha: int, rule: str) -> str:
    """What `draw` shows, in words."""
    falls = [f"{fall(r, alpha, rule, name):.3g} times with {name}" for name in OPTIMIZERS]
    return (
        f"The scaling against rank for alpha = {alpha}: {scaling(r, alpha, rule):.4g} at r = {r} "
        f"with {rule}. Beside it the first step's fall in loss against rank: at r = {r} it is "
        f"{falls[0]} and {falls[1]} what it is at r = 8, alpha = 8."
    )


EXPLORERS = {
    "scaling": Explorer(
        "What do r and alpha do to the first step?",
        {
            "r": Steps("Rank r", RANKS, 128),
            "alpha": Steps("lora_alpha", ALPHAS, 8),
            "rule": Choice("Rule", RULES, "alpha / r"),
        },
        draw,
        alt,
    )
}
