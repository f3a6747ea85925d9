"""Lesson 11: a step's memory for sizes and ways of one's own, and the recorded ones by size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...experiments.step_memory import ARMS
from ..explorers.base import Explorer
from ..explorers.controls import Choice
from ..explorers.memory import memory_panel
from ..plots import PALETTE, alt_of, new_figure
from ..recorded import load
from .figures import GIB, by_place, stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MEASURED = ("11_measured", "11_measured_8b")


def measured_rows() -> list[dict[str, Any]]:
    """The rows of the recorded GPU runs, from 5 M to 8 B."""
    return [row for name in MEASURED for row in load(name).data["rows"]]


def draw(way: str) -> Figure:
    """What a step consists of, nano to 8 B, and its peak in GiB: predicted, measured as a ring."""
    predicted = by_place(load("11_predicted").data["rows"])
    measured = by_place(measured_rows())
    figure, axes = new_figure(1, 2, about=f"A training step from nano to 8 B: {way}.")
    figure.set_size_inches(11.4, 4.6)
    stack(axes[0], predicted, way)
    for places, label, marker, fill, size in (
        (predicted, "predicted", "D", "full", 7),
        (measured, "measured on a GPU", "o", "none", 13),
    ):
        peaks = {name: arms[way]["peak"] / GIB for name, arms in places.items() if way in arms}
        axes[1].plot(
            list(peaks.values()),
            list(peaks),
            marker,
            markersize=size,
            fillstyle=fill,
            color=PALETTE[0 if fill == "full" else 1],
            label=label,
        )
    axes[1].set_xscale("log")
    axes[1].invert_yaxis()
    axes[1].set_xlabel("peak of a step in GiB, log scale")
    axes[1].set_title(f"{way}: its peak")
    axes[1].legend(loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=2)
    return figure


sizes_panel = Explorer(
    "Where do the states outgrow the activations?",
    {"way": Choice("Way to train", list(ARMS), "full, bf16")},
    draw,
    lambda way: alt_of(draw(way)),
)
EXPLORERS = {"memory": memory_panel, "sizes": sizes_panel}
