"""Lesson 04: a mask on the input of the branch, and the spread that it gives to the output."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...seeding import generator
from ..explorers.base import Explorer
from ..explorers.controls import Steps, Whole
from ..plots import PALETTE, new_figure
from ..series import legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATES = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
WIDTHS = [16, 64, 256, 1024]
SHOWN = 12  # features that are drawn
MASKS = 2000


class Spread(NamedTuple):
    """One output of the branch under many masks: the outputs, and what the formula says."""

    outputs: Tensor  # (MASKS,)
    formula: float


@cache
def branch(width: int) -> tuple[Tensor, Tensor]:
    """An input x (width,) and one row of the update (width,), whose product is exactly 1."""
    gen = generator(0)
    x, row = torch.randn(2, width, generator=gen, dtype=torch.float64)
    row = row + x  # so that they agree somewhat, as after training
    return x, row / (row @ x)


def mask(p: float, number: int, width: int) -> Tensor:
    """The factors of x under one mask: 0 where dropped, 1 / (1 - p) where kept: (width,)."""
    noise = torch.rand(width, generator=generator(number), dtype=torch.float64)
    return (noise >= p).double() / (1 - p)


@cache
def spread(p: float, width: int) -> Spread:
    """The output under MASKS masks, and its standard deviation by the formula.

    sd² = p / (1 - p) Σ_j (ΔW_j x_j)², for one row of ΔW.
    """
    x, row = branch(width)
    noise = torch.rand(MASKS, width, generator=generator(1), dtype=torch.float64)
    outputs = ((noise >= p).double() / (1 - p)) @ (x * row)  # (MASKS,)
    return Spread(outputs, (p / (1 - p) * (x * row).square().sum()).sqrt().item())


def draw(p: float, number: int, width: int) -> Figure:
    """The input under one mask, and the output's distribution over many."""
    figure, axes = new_figure(1, 2)
    _input(axes[0], p, number, width)
    _outputs(axes[1], p, number, width)
    legend_below(figure, columns=3, frameon=False)
    return figure


def _input(axis: Axes, p: float, number: int, width: int) -> None:
    x, factors = branch(width)[0][:SHOWN].numpy(), mask(p, number, width)[:SHOWN].numpy()
    places = range(1, SHOWN + 1)
    kept = [place for place in places if factors[place - 1] > 0]
    dropped = [place for place in places if factors[place - 1] == 0]
    axis.bar(kept, (x * factors)[[k - 1 for k in kept]], color=PALETTE[0], label="kept, / (1 - p)")
    axis.bar(places, x, fill=False, edgecolor=PALETTE[-1], label="x, as the base sees it")
    axis.plot(dropped, [0] * len(dropped), "x", color=PALETTE[1], markersize=9, label="dropped")
    axis.set_xticks(list(places))
    axis.set_xlabel(f"feature (the first {SHOWN} of {width:,d})")
    axis.set_ylabel("value of the feature")
    axis.set_title(f"p = {p:g}, mask {number}")


def _outputs(axis: Axes, p: float, number: int, width: int) -> None:
    outputs, sd = spread(p, width)
    x, row = branch(width)
    now = (mask(p, number, width) * x @ row).item()
    axis.hist(outputs.numpy(), bins=60, range=(-1, 5), color=PALETTE[4])
    axis.axvline(1, color=PALETTE[-1], linestyle="--", label="without a mask")
    axis.axvline(outputs.mean().item(), color=PALETTE[2], label="mean over the masks")
    axis.axvline(now, color=PALETTE[1], linestyle=":", linewidth=2.5, label="this mask")
    axis.set_xlabel("one output of the branch")
    axis.set_ylabel(f"masks, of {MASKS:,d}")
    axis.set_title(f"spread {outputs.std().item():.2f}, by the formula {sd:.2f}")


def alt(p: float, number: int, width: int) -> str:
    """What `draw` shows, in words."""
    outputs, sd = spread(p, width)
    kept = int((mask(p, number, width) > 0).sum())
    return (
        f"Mask {number} at p = {p:g} keeps {kept:,d} of {width:,d} features and enlarges them by "
        f"{1 / (1 - p):.3g}. Beside it a histogram of one output of the branch over {MASKS:,d} "
        f"masks: mean {outputs.mean().item():.2f}, without a mask 1; spread "
        f"{outputs.std().item():.2f}, by the formula {sd:.2f}."
    )


EXPLORERS = {
    "mask": Explorer(
        "What does the mask do to the branch?",
        {
            "p": Steps("p", RATES, 0.3),
            "number": Whole("Mask number", 1, 20, 1),
            "width": Steps("Features", WIDTHS, 64),
        },
        draw,
        alt,
    )
}
