"""Lesson 02: two matrices that share some directions; how much do their subspaces overlap?"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...experiments.lesson02 import chance, right_directions, similarity
from ...seeding import generator
from ..explorers.base import Explorer
from ..explorers.controls import Steps, Whole
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTHS = [64, 128, 256, 1024, 4096]
RANKS = [8, 16, 32, 64]
SMALL = 8
STRENGTHS = torch.linspace(8, 3, SMALL, dtype=torch.float64)
"""Singular values of the shared directions, above the noise and apart, so that both rank them
alike."""


@cache
def pair(shared: int, rank: int, width: int) -> tuple[Tensor, Tensor]:
    """Two random matrices, (8, width) and (rank, width), with `shared` directions in common.

    Each stands for the A of a trained adapter: noise of its own, and a strong part that lies in
    the same `shared` directions for both.
    """
    gen = generator(0)
    common = torch.linalg.qr(_normal(gen, width, max(shared, 1))).Q[:, :shared]  # (width, shared)
    left = [torch.linalg.qr(_normal(gen, rows, SMALL)).Q[:, :shared] for rows in (SMALL, rank)]
    return tuple(
        (own * STRENGTHS[:shared]) @ common.T + _normal(gen, len(own), width) / width**0.5
        for own in left
    )


def _normal(gen: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=gen, dtype=torch.float64)


@cache
def phi(shared: int, rank: int, width: int) -> Tensor:
    """φ(i, j) of the two matrices: (8, rank)."""
    small, large = pair(shared, rank, width)
    return similarity(right_directions(small, SMALL), right_directions(large, rank))


def draw(shared: int, rank: int, width: int) -> Figure:
    """φ(i, j) as a map, and φ(i, rank) and φ(i, i) beside what chance alone gives."""
    grid = phi(shared, rank, width)
    figure, axes = new_figure(1, 2)
    _map(axes[0], grid)
    i = list(range(1, SMALL + 1))
    for k, (label, curve, by_chance) in enumerate(
        (
            (f"j = {rank}", grid[:, -1], [chance(n, rank, width) for n in i]),
            ("j = i", grid.diagonal(), [chance(n, n, width) for n in i]),
        )
    ):
        axes[1].plot(i, curve.tolist(), "os"[k] + "-", color=PALETTE[k], label=f"φ(i, j), {label}")
        axes[1].plot(i, by_chance, "--", color=PALETTE[k], label=f"chance, {label}")
    axes[1].set_ylim(-0.05, 1.05)
    axes[1].set_xlabel("i, directions of the first matrix")
    axes[1].set_title(f"{shared} shared directions, width {width:,d}")
    axes[1].legend()
    return figure


def _map(axis: Axes, grid: Tensor) -> None:
    rows, columns = grid.shape
    image = axis.imshow(
        grid.numpy(),
        cmap="cividis",
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        extent=(0.5, columns + 0.5, 0.5, rows + 0.5),
    )
    axis.figure.colorbar(image, ax=axis, label="φ(i, j)")
    axis.set_xlabel("j, directions of the second matrix")
    axis.set_ylabel("i, directions of the first matrix")
    axis.grid(False)


def alt(shared: int, rank: int, width: int) -> str:
    """What `draw` shows, in words."""
    grid = phi(shared, rank, width)
    return (
        f"Overlap of two matrices of ranks {SMALL} and {rank} and width {width:,d} that share "
        f"{shared} directions: as a map over i and j, and as curves beside chance. With all "
        f"directions of both it is {grid[-1, -1]:.3f}, by chance alone "
        f"{chance(SMALL, rank, width):.3f}; with the first of each, {grid[0, 0]:.3f} against "
        f"{chance(1, 1, width):.4f}."
    )


EXPLORERS = {
    "subspaces": Explorer(
        "How much do two subspaces overlap, and how much by chance?",
        {
            "shared": Whole("Shared directions", 0, SMALL, 3),
            "rank": Steps("Rank of the second", RANKS, 64),
            "width": Steps("Width", WIDTHS, 256),
        },
        draw,
        alt,
    )
}
