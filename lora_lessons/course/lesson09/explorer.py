"""Lesson 09: an update of some size is merged into weights of some dtype; what is left of it?"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

from ...experiments.lesson09 import normal_loss, rounded
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Steps
from ..plots import PALETTE, new_figure
from .figures import LOOKS, draw_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WEIGHT = 0.0213  # one weight of usual size, with no round number in binary
RELATIVE = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]


@cache
def loss(size: float, dtype: str) -> dict[str, float]:
    """What rounding does to an update of this relative size, for normal weights."""
    return normal_loss(dtype, size)


def staircase(size: float, dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Wanted and got relative changes of one weight, up to three times the update's size."""
    W = rounded(torch.tensor(WEIGHT, dtype=torch.float64), dtype)
    wanted = torch.linspace(-3 * size, 3 * size, 601, dtype=torch.float64)
    return wanted, rounded(W * (1 + wanted), dtype) / W - 1


def draw(size: float, dtype: str) -> Figure:
    """The staircase of one weight, and the share of all weights that stay on its middle step."""
    figure, axes = new_figure(1, 2)
    _stairs(axes[0], size, dtype)
    draw_curves(axes[1])
    marker, colour = LOOKS[dtype]
    share = loss(size, dtype)["unchanged"]
    axes[1].plot([size], [share], marker, color=PALETTE[colour], markersize=10)
    axes[1].set_title(f"{share:.1%} unchanged, update off by {loss(size, dtype)['error']:.1%}")
    for axis in axes:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize="small")
    return figure


def _stairs(axis: Axes, size: float, dtype: str) -> None:
    wanted, got = (100 * values for values in staircase(size, dtype))
    axis.plot(wanted, wanted, "--", color=PALETTE[-1], label="what was learnt")
    axis.plot(wanted, got, color=PALETTE[LOOKS[dtype][1]], label=f"what {dtype} keeps")
    axis.axvspan(-100 * size, 100 * size, color=PALETTE[4], alpha=0.2, label="two in three updates")
    axis.set_xlabel("change of one weight, % of it")
    axis.set_ylabel("change after merging, %")
    axis.set_title(f"one weight, update of {size:.2%}")


def alt(size: float, dtype: str) -> str:
    """What `draw` shows, in words."""
    row, steps = loss(size, dtype), len(set(staircase(size, dtype)[1].tolist()))
    return (
        f"An update of {size:.2%} of the weights, merged in {dtype}. Left: the change that one "
        f"weight gets against the change it should get, a staircase of {steps} steps. Right: share "
        f"of weights left unchanged against the update's size for three dtypes; here "
        f"{row['unchanged']:.1%}, and the update is off by {row['error']:.1%}."
    )


EXPLORERS = {
    "rounding": Explorer(
        "What is left of an update after merging?",
        {
            "size": Steps("Size of the update", RELATIVE, 1e-3),
            "dtype": Choice("Weights in", list(LOOKS), "bfloat16"),
        },
        draw,
        alt,
    )
}
