"""The figures of lesson 09: what rounding leaves unchanged, what a merge keeps, who wins where."""

from __future__ import annotations

from functools import cache
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ...experiments.lesson09 import normal_loss
from ..drawing import FROZEN, Drawing
from ..plots import PALETTE, new_figure
from ..statistics import half_width95
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES = tuple(10 ** (k / 4) for k in range(-16, -1))  # four to a decade: a smooth curve
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
    figure, axes = new_figure(
        1, 2, "What merging rounds away, and what it leaves of the gain in loss, by dtype."
    )
    draw_curves(axes[0])
    for dtype, (marker, colour) in LOOKS.items():
        own, look = [p for p in points(rows) if p.dtype == dtype], {"color": PALETTE[colour]}
        sizes, shares = [p.update for p in own], [p.unchanged for p in own]
        axes[0].plot(sizes, shares, marker, label=f"{dtype}, measured", **look)
        gains, halves = [p.kept for p in own], [p.kept_half for p in own]
        axes[1].errorbar(sizes, gains, halves, fmt=marker + "-", capsize=4, label=dtype, **look)
    axes[0].legend(fontsize="small")
    axes[1].axhline(1, color=PALETTE[-1], linestyle="--", label="the separate adapter's gain")
    axes[1].legend(fontsize="small")
    axes[1].set_xscale("log")
    axes[1].set_ylim(0, 1.2)
    axes[1].set_xlabel("size of the update, ‖ΔW‖ / ‖W‖")
    axes[1].set_ylabel("gain in loss left after merging")
    return figure


def rounding_table(rows: list[dict[str, Any]]) -> Table:
    """A row for each dtype and size: the update, what did not move, its error, the gain left."""
    head = ("dtype", "‖ΔW‖ / ‖W‖", "unchanged (%)", "error (%)", "gain left (%)")
    body = [
        (
            p.dtype,
            f"{p.update:.4f}",
            f"{100 * p.unchanged:.1f}",
            f"{100 * p.error:.1f}",
            f"{100 * p.kept:.1f}" + (f" ± {100 * p.kept_half:.1f}" if p.kept_half else ""),
        )
        for p in points(rows)
    ]
    seeds = any("±" in cell for row in body for cell in row)
    note = "± is half of the 95 % interval of the mean over the seeds." if seeds else ""
    return Table(head, body, note=note)


def gains(rows: list[dict[str, Any]], factors: tuple[float, ...]) -> list[float]:
    """What the separate adapter gains (nats a token) at each of these factors on its update."""
    return [
        mean(row["base"] - row["separate"] for row in rows if row["factor"] == factor)
        for factor in factors
    ]


def above_curves(rows: list[dict[str, Any]]) -> float:
    """How far the measured shares lie above those of normal weights, at most."""
    return max(p.unchanged - normal_loss(p.dtype, p.update)["unchanged"] for p in points(rows))


class Undone(NamedTuple):
    """After merging and subtracting: the share of weights that differ, and of these the lifted."""

    changed: float
    lifted: float


def undone_rows(
    W: Tensor, direction: Tensor, sizes: tuple[float, ...] = (0.001, 0.01, 0.1, 0.3)
) -> dict[tuple[str, float], Undone]:
    """{(dtype, size): Undone} for an update of this direction and size, relative to W (out, in).

    Both the sum and the difference are taken in float32 and rounded once, which is the best that
    subtraction can do.
    """
    found = {}
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        start = W.to(dtype)
        for size in sizes:
            delta = direction * (size * W.norm() / direction.norm())
            merged = (start.float() + delta).to(dtype)
            differs = (merged.float() - delta).to(dtype) != start
            higher = torch.frexp(merged.float())[1] > torch.frexp(start.float())[1]
            lifted = (differs & higher).sum() / differs.sum().clamp(min=1)
            key = (str(dtype).removeprefix("torch."), size)
            found[key] = Undone(differs.double().mean().item(), lifted.item())
    return found


def undone_table(found: dict[tuple[str, float], Undone]) -> Table:
    """The rows of `undone_rows`, in percent."""
    head = ("dtype", "size of the update (%)", "weights that differ (%)", "of these lifted (%)")
    body = [
        (dtype, f"{100 * size:g}", f"{100 * row.changed:.1f}", f"{100 * row.lifted:.0f}")
        for (dtype, size), row in found.items()
    ]
    return Table(head, body, note="Lifted: the sum landed in a higher binade than the weight.")


def loss_rows(table: dict[str, dict[str, float]]) -> Table:
    """The losses of `loss_bars` as numbers."""
    texts = list(next(iter(table.values())))
    body = [(way, *(f"{losses[text]:.3f}" for text in texts)) for way, losses in table.items()]
    return Table(("way", *(f"loss on {text} (nats)" for text in texts)), body)


def three_ways() -> Drawing:
    """One file, three ways to use it: beside W, merged into W, one of several in a batch."""
    drawing = Drawing(
        "From a file to an answer",
        "The adapter's file holds A and B; the config beside it holds the scaling s. Three ways "
        "lead on. Apart: W is frozen and s B A x is added beside it; switching is free. Merged: "
        "W + s B A is rounded to W's dtype and is one matrix; to go back, keep a copy of W. Mixed: "
        "one W for the whole batch, and each row adds the branch of its own adapter.",
        820, 380,
    )  # fmt: skip
    file = drawing.box(
        10, 140, 170, 90, ["the adapter's file", "A (r, in), B (out, r)", "config: s"]
    )
    ways = (
        (10, "apart", "W x + s B A x", "switching is free"),
        (140, "merged", "round(W + s B A) x", "to go back: a copy of W"),
        (270, "mixed in a batch", "W x once for all rows", "+ each row's own s B A x"),
    )
    for y, name, formula, note in ways:
        W = drawing.matrix(300, y, 110, 90, "W", ("out", "in"), FROZEN if name != "merged" else "")
        drawing.arrow(file.right, (240, file.right[1]), (240, W.left[1]), W.left)
        end = drawing.box(480, y + 5, 320, 80, [name, formula, note])
        drawing.arrow(W.right, end.left)
    return drawing


def loss_bars(table: dict[str, dict[str, float]]) -> Figure:
    """A group of bars for each text: the loss of every way to run the model.

    `table` is {way: {text: loss}}, with the ways in the order to draw them.
    """
    figure, (axis,) = new_figure(about="The loss on unread text of each author, by adapter.")
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
    axis.set_ylabel("validation loss, nats a token (axis cut)")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    return figure
