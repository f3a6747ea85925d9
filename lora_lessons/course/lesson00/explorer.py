"""Lesson 00: the share of the weights that trains, against the width of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lora.more.low_rank import parameter_count
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Steps
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = [2**k for k in range(6, 15)]  # 64 to 16,384
RANKS = [2**k for k in range(9)]  # 1 to 256
TARGETS = {
    "q, v": ("q", "v"),
    "attention": ("q", "k", "v", "o"),
    "all-linear": ("q", "k", "v", "o", "gate", "up", "down"),
}
MARKERS = dict(zip(TARGETS, "os^", strict=True))


def block_shapes(width: int) -> dict[str, tuple[int, int]]:
    """Layer -> (in, out) in one block of the Llama kind: q, k, v, o and a gated MLP of 8/3 width.

    The attention has one key and value head for each query head, so its layers are square.
    """
    hidden = 8 * width // 3
    square = dict.fromkeys(("q", "k", "v", "o"), (width, width))
    return {**square, "gate": (width, hidden), "up": (width, hidden), "down": (hidden, width)}


def trained_share(width: int, rank: int, targets: str) -> float:
    """Trained numbers / all numbers of a block, the adapter's own among them, between 0 and 1.

    Every block is alike, so this is the share of all blocks too. Embeddings, norms and biases are
    left out.
    """
    shapes = block_shapes(width)
    trained = sum(parameter_count(*shapes[name], rank) for name in TARGETS[targets])
    frozen = sum(in_ * out_ for in_, out_ in shapes.values())
    return trained / (trained + frozen)


def width_below_one_percent(rank: int, targets: str) -> int | None:
    """The first of the slider's widths at which less than 1 % trains, or None."""
    return next((w for w in WIDTHS if trained_share(w, rank, targets) < 0.01), None)


def draw(width: int, rank: int, targets: str) -> Figure:
    """Share against width, one line for each choice of targets, and the point that is chosen."""
    figure, (axis,) = new_figure()
    for i, name in enumerate(TARGETS):
        shares = [100 * trained_share(w, rank, name) for w in WIDTHS]
        axis.plot(WIDTHS, shares, marker=MARKERS[name], color=PALETTE[i], label=name)
    axis.axhline(1, color=PALETTE[-1], linestyle="--", label="1 %")
    share = 100 * trained_share(width, rank, targets)
    axis.plot([width], [share], "o", markersize=15, fillstyle="none", color=PALETTE[-1])
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_ylim(0.002, 100)
    axis.set_xticks(WIDTHS, [f"{w:,d}" for w in WIDTHS], rotation=30)
    axis.set_yticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
    axis.set_xlabel("width of the model")
    axis.set_ylabel("share of the blocks that trains (%)")
    axis.set_title(f"{targets}, r = {rank}, width {width:,d}: {share:.3g} %")
    axis.legend()
    return figure


def alt(width: int, rank: int, targets: str) -> str:
    """What `draw` shows, in words."""
    share = 100 * trained_share(width, rank, targets)
    first = width_below_one_percent(rank, targets)
    where = f"from width {first:,d} on" if first else "at no width up to 16,384"
    return (
        f"Share of trained weights against width, falling, for q, v, attention and all-linear. "
        f"With {targets}, rank {rank} and width {width:,d} it is {share:.3g} %. "
        f"It is below 1 % {where}."
    )


EXPLORERS = {
    "share": Explorer(
        "Which share of the weights trains?",
        {
            "width": Steps("Width of the model", WIDTHS, 256),
            "rank": Steps("Rank r", RANKS, 8),
            "targets": Choice("Layers", list(TARGETS), "q, v"),
        },
        draw,
        alt,
    )
}
