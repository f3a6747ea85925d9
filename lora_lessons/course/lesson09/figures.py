"""The figures of lesson 09: what rounding leaves unchanged, what a merge keeps, who wins where."""

from __future__ import annotations

from functools import cache
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

from ...experiments.lesson09 import normal_loss
from ..plots import PALETTE, new_figure
from ..statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
LOOKS = {"bfloat16": ("o", 0), "float16": ("s", 1), "float32": ("x", 2)}
"""Marker and place in the palette of each dtype."""


@cache
def unchanged_curve(dtype: str) -> list[float]:
    """The share of normal weights that keep their value, for updates of `SIZES`."""
    return [normal_loss(dtype, size)["unchanged"] for size in SIZES]


def draw_curves(axis: Axes, dtypes: tuple[str, ...] = tuple(LOOKS)) -> None:
    """Share unchanged against relative size, for normal weights and updates."""
    for dtype in dtypes:
        _, colour = LOOKS[dtype]
        axis.plot(SIZES, unchanged_curve(dtype), color=PALETTE[colour], label=f"{dtype}, normal")
    axis.set_xscale("log")
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel("size of the update, ‖ΔW‖ / ‖W‖")
    axis.set_ylabel("share of weights left unchanged")


class Point(NamedTuple):
    """One dtype and one size of the update: means over the seeds, half of the 95 % interval."""

    dtype: str
    update: float
    unchanged: float
    error: float
    kept: float
    kept_half: float


def points(rows: list[dict[str, Any]]) -> list[Point]:
    """The rows of all seeds, one point for each dtype and factor on the update."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["dtype"], row["factor"]), []).append(row)
    return [
        Point(
            dtype,
            *(mean(row[key] for row in group) for key in ("update", "unchanged", "error")),
            mean(kept(row) for row in group),
            half_width95([kept(row) for row in group]),
        )
        for (dtype, _), group in groups.items()
    ]


def kept(row: dict[str, Any]) -> float:
    """The gain of the merged model over the base, as a share of the separate adapter's."""
    return (row["base"] - row["merged"]) / (row["base"] - row["separate"])


def rounding_figure(rows: list[dict[str, Any]]) -> Figure:
    """Left: measured shares on the curves. Right: the gain in loss that is left after merging."""
    figure, axes = new_figure(1, 2)
    draw_curves(axes[0])
    for dtype, (marker, colour) in LOOKS.items():
        own, look = [p for p in points(rows) if p.dtype == dtype], {"color": PALETTE[colour]}
        sizes, shares = [p.update for p in own], [p.unchanged for p in own]
        axes[0].plot(sizes, shares, marker, label=f"{dtype}, measured", **look)
        gains, halves = [p.kept for p in own], [p.kept_half for p in own]
        axes[1].errorbar(sizes, gains, halves, fmt=marker + "-", capsize=4, **look)
    axes[0].legend(fontsize="small")
    axes[1].axhline(1, color=PALETTE[-1], linestyle="--")
    axes[1].set_xscale("log")
    axes[1].set_ylim(0, 1.2)
    axes[1].set_xlabel("size of the update, ‖ΔW‖ / ‖W‖")
    axes[1].set_ylabel("gain in loss left after merging")
    return figure


def rounding_table(rows: list[dict[str, Any]]) -> list[str]:
    """One line a point, as text."""
    head = f"{'dtype':9s} {'|dW|/|W|':>9s} {'unchanged':>9s} {'error':>7s}   gain left"
    return [head] + [
        f"{p.dtype:9s} {p.update:9.2e} {p.unchanged:9.1%} {p.error:7.1%} {p.kept:9.1%}"
        + (f" +- {p.kept_half:.1%}" if p.kept_half else "")
        for p in points(rows)
    ]


def loss_bars(table: dict[str, dict[str, float]]) -> Figure:
    """A group of bars for each text: the loss of every way to run the model.

    `table` is {way: {text: loss}}, with the ways in the order to draw them.
    """
    figure, (axis,) = new_figure()
    texts = list(next(iter(table.values())))
    width = 0.8 / len(table)
    for k, (way, losses) in enumerate(table.items()):
        places = [i + (k - (len(table) - 1) / 2) * width for i in range(len(texts))]
        bars = axis.bar(places, list(losses.values()), 0.9 * width, color=PALETTE[k], label=way)
        axis.bar_label(bars, fmt="%.2f")
    lowest = min(min(losses.values()) for losses in table.values())
    axis.set_ylim(0.8 * lowest, None)
    axis.set_xticks(range(len(texts)), texts)
    axis.set_xlabel("unread text of")
    axis.set_ylabel("validation loss (axis cut)")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    return figure
