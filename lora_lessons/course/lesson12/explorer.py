"""Lesson 12: weights, the levels that their block can have, and what the codes are used for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...base.quantize import BITS, code_bits, dequantize, levels, quantize, relative_error
from ...seeding import generator
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Steps, Whole
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERS = 4096
BLOCKS = (16, 32, 64, 128, 256, 1024, NUMBERS)


@cache
def sample(outlier: int) -> Tensor:
    """4,096 normal weights of spread 1; the first is `outlier` (below 4 it does not stand out)."""
    W = torch.randn(NUMBERS, generator=generator(12))
    W[0] = outlier
    return W


@cache
def measured(form: str, block: int, outlier: int) -> dict[str, float]:
    """Error over all, error in the outlier's block, code use in bits, largest possible use."""
    W = sample(outlier)
    q = quantize(W, form, block)
    back = dequantize(q)
    count = len(levels(form))
    return {
        "error": relative_error(W, back),
        "spread": (back[1:block] - W[1:block]).square().mean().sqrt().item(),
        "used": code_bits(q.codes, count),
        "most": torch.tensor(float(count)).log2().item(),
        "scale": q.absmax[0].item(),
    }


def draw(form: str, block: int, outlier: int) -> Figure:
    """Left: all weights, and the levels of the first block. Right: how often each code is used."""
    found = measured(form, block, outlier)
    figure, axes = new_figure(1, 2)
    _histogram(axes[0], form, outlier, found["scale"])
    axes[0].set_title(f"the outlier's block: levels up to ±{found['scale']:.3g}")
    _codes(axes[1], form, block, outlier)
    axes[1].set_title(f"codes carry {found['used']:.2f} of {found['most']:.2f} bits")
    figure.suptitle(f"error of all weights: {found['error']:.1%}", fontsize=11)
    return figure


def _histogram(axis: Axes, form: str, outlier: int, scale: float) -> None:
    axis.hist(
        sample(outlier).numpy(),
        bins=80,
        range=(-5, 5),
        color=PALETTE[4],
        label="weights",
        alpha=0.7,
    )
    for i, level in enumerate((levels(form) * scale).tolist()):
        label = "levels of its block" if i == 0 else None
        axis.axvline(level, ymax=0.92, color=PALETTE[1], linewidth=1.5, label=label)
    axis.set_xlim(-5, 5)
    axis.set_xlabel("weight, in spreads")
    axis.set_ylabel("weights in a bin")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize="small")


def _codes(axis: Axes, form: str, block: int, outlier: int) -> None:
    count = len(levels(form))
    codes = quantize(sample(outlier), form, block).codes.long()
    shares = 100 * torch.bincount(codes, minlength=count).double() / NUMBERS
    axis.bar(range(count), shares.numpy(), color=PALETTE[0], label="share of weights")
    axis.axhline(100 / count, color=PALETTE[-1], linestyle="--", label="equal use")
    axis.set_xlabel("code")
    axis.set_ylabel("share of weights, %")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize="small")


def alt(form: str, block: int, outlier: int) -> str:
    """What `draw` shows, in words."""
    found = measured(form, block, outlier)
    inside = ((levels(form) * found["scale"]).abs() < 3).sum().item()
    return (
        f"{NUMBERS:,d} normal weights, one of size {outlier}, in {form} and blocks of {block:,d}. "
        f"Left: their histogram, and the levels of the block with that weight: they reach "
        f"{found['scale']:.3g}, and {inside} of {len(levels(form))} lie within 3 spreads of zero. "
        f"Right: how often each code is used; together {found['used']:.2f} of {found['most']:.2f} "
        f"bits. The error of all weights is {found['error']:.1%}."
    )


EXPLORERS = {
    "levels": Explorer(
        "One large weight: whom does it harm?",
        {
            "form": Choice("Format", list(BITS), "nf4"),
            "block": Steps("Block", BLOCKS, 64),
            "outlier": Whole("Outlier, in spreads", 1, 40, 20),
        },
        draw,
        alt,
    )
}
