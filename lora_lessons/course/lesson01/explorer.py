"""Lesson 01: a picture is a matrix; cut it to rank k and look at what is left."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...lora.more.low_rank import parameter_count, truncate
from ...seeding import generator
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Whole
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, WIDTH = 152, 130
PICTURES = ("a photograph", "random numbers", "a smooth gradient")
FLOOR = 1e-6  # singular values below this share of the first are rounding


@cache
def matrix(picture: str) -> Tensor:
    """One of PICTURES as a float64 matrix (HEIGHT, WIDTH).

    The photograph is matplotlib's own sample: Grace Hopper, by the US Navy, in the public domain.
    """
    if picture == "a photograph":
        return _photograph()
    if picture == "random numbers":
        return torch.randn(HEIGHT, WIDTH, generator=generator(0), dtype=torch.float64)
    down = torch.linspace(0, 1, HEIGHT, dtype=torch.float64)
    across = torch.linspace(0, 1, WIDTH, dtype=torch.float64)
    return down[:, None] + across  # rank 2: one term that goes down, one that goes across


def _photograph() -> Tensor:
    import numpy as np
    from matplotlib import cbook
    from PIL import Image

    path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    with Image.open(path) as image:
        grey = image.convert("L").resize((WIDTH, HEIGHT))
    return torch.from_numpy(np.asarray(grey, dtype=np.float64) / 255)


@cache
def singular_values(picture: str) -> Tensor:
    """The singular values of a picture, largest first: (WIDTH,)."""
    return torch.linalg.svdvals(matrix(picture))


def energy_kept(picture: str, k: int) -> float:
    """Share of the squared Frobenius norm that the best rank-k copy keeps, between 0 and 1."""
    energy = singular_values(picture).square()
    return (energy[:k].sum() / energy.sum()).item()


def draw(picture: str, k: int) -> Figure:
    """The picture, its best copy of rank k, and its singular values with the first k marked."""
    W = matrix(picture)
    figure, axes = new_figure(1, 3)
    _image(axes[0], W, W, f"{picture}, {HEIGHT} x {WIDTH}")
    _image(axes[1], truncate(W, k), W, f"copy of rank {k}: {_stored(k):,d} numbers")
    _spectrum(axes[2], singular_values(picture), k)
    axes[2].set_title(f"{100 * energy_kept(picture, k):.3g} % of the energy kept")
    return figure


def _image(axis: Axes, pixels: Tensor, original: Tensor, title: str) -> None:
    """Both images share the greys of the original, so that they can be compared."""
    axis.imshow(pixels.numpy(), cmap="gray", vmin=original.min(), vmax=original.max())
    axis.set_axis_off()
    axis.set_title(title)


def _spectrum(axis: Axes, S: Tensor, k: int) -> None:
    relative = (S / S[0]).clamp(min=FLOOR).numpy()
    ranks = range(1, len(S) + 1)
    axis.plot(ranks[:k], relative[:k], "o", color=PALETTE[0], markersize=4, label="kept")
    axis.plot(ranks[k:], relative[k:], "x", color=PALETTE[1], markersize=4, label="left out")
    axis.axvline(k + 0.5, color=PALETTE[-1], linestyle="--")
    axis.set_yscale("log")
    axis.set_xlabel("number of the singular value")
    axis.set_ylabel("size, the first = 1")
    axis.legend()


def _stored(k: int) -> int:
    """Numbers in the two factors of a rank-k copy."""
    return parameter_count(WIDTH, HEIGHT, k)


def alt(picture: str, k: int) -> str:
    """What `draw` shows, in words."""
    kept = 100 * energy_kept(picture, k)
    return (
        f"{picture.capitalize()} beside its copy of rank {k}, and its singular values on a log "
        f"scale, the first {k} marked. The copy keeps {kept:.3g} % of the energy and stores "
        f"{_stored(k):,d} numbers in place of {HEIGHT * WIDTH:,d}."
    )


EXPLORERS = {
    "rank": Explorer(
        "How few ranks until you know what it shows?",
        {
            "k": Whole("Rank k", 0, WIDTH, 2),  # too few to know the picture by
            "picture": Choice("Picture", PICTURES, "a photograph"),
        },
        draw,
        alt,
    )
}
