"""The figures of lesson 10: rates, learning against forgetting, over-fitting, batch sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from ...experiments.learning_and_forgetting import score
from ..drawing import Drawing
from ..plots import PALETTE, new_figure
from ..series import MARKERS, at_each, doubling_axis, legend_below
from ..statistics import half_width95
from .questions import FULL, LARGE, LORA, arms, rates, runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Data = Mapping[str, Any]
COLOURS = {LORA: PALETTE[0], LARGE: PALETTE[2], FULL: PALETTE[1]}
LINES = {LORA: "-", LARGE: "-.", FULL: "--"}


def colour(arm: str) -> str:
    """The colour of an arm; a rival has full fine-tuning's."""
    return COLOURS.get(arm, PALETTE[1])


def protocol() -> Drawing:
    """The protocol of a search: who chooses, who measures, and what an edge asks for."""
    drawing = Drawing(
        "The protocol of a search",
        "Every rate of the grid runs on the tuning seeds. The lowest mean is chosen. If it lies at "
        "an edge of the grid, an arrow leads back: widen the grid. If it lies inside, that one "
        "rate runs on fresh seeds, which chose nothing, and their mean with its interval is "
        "reported.",
        820,
        230,
    )
    grid = drawing.box(10, 40, 160, 70, ["every rate", "on tuning seeds"])
    choose = drawing.box(225, 40, 150, 70, ["choose", "lowest mean"])
    fresh = drawing.box(430, 40, 160, 70, ["that rate alone", "on fresh seeds"])
    report = drawing.box(645, 40, 160, 70, ["report", "mean ± interval"])
    drawing.arrow(grid.right, choose.left)
    drawing.arrow(choose.right, fresh.left, label="inside")
    drawing.arrow(fresh.right, report.left)
    low = 180
    drawing.arrow(
        choose.bottom, (choose.bottom[0], low), (grid.bottom[0], low), grid.bottom, dashed=True
    )
    drawing.label((choose.bottom[0] + grid.bottom[0]) / 2, low - 8, "at an edge: widen the grid")
    drawing.label(fresh.bottom[0], 134, "they chose nothing")
    return drawing


# --- rates -------------------------------------------------------------------------------------


def mean_scores(
    rows: Sequence[Mapping[str, Any]], arm: str, by: str = "last"
) -> dict[float, float]:
    """Rate -> mean loss on the target over the seeds."""
    return {
        lr: mean(score(row, by) for row in runs(list(rows), arm, lr))
        for lr in rates(list(rows), arm)
    }


def rate_curves(results: Mapping[str, Data], by: str = "last") -> Figure:
    """The target loss of the tuning runs against the rate, a line for each arm.

    The chosen rate is filled; the fresh seeds' mean there stands beside it with its interval.
    """
    about = "Target loss of the tuning runs by rate, and the fresh seeds at the chosen rate"
    figure, axes = new_figure(1, len(results), about)
    for axis, (title, data) in zip(axes, results.items(), strict=True):
        for i, arm in enumerate(data["chosen"]):
            _rate_curve(axis, data, arm, MARKERS[i], by)
        tried = sorted({row["lr"] for row in data["tuning"]})[::2]
        doubling_axis(axis, tried, "learning rate")
        axis.set_ylabel(f"target loss, {by} (nats per token)")
        axis.set_title(title)
    legend_below(figure, columns=3)
    return figure


def _rate_curve(axis: Axes, data: Data, arm: str, marker: str, by: str) -> None:
    found = mean_scores(data["tuning"], arm, by)
    shown = {lr: loss for lr, loss in found.items() if math.isfinite(loss)}
    look = {"color": colour(arm), "marker": marker, "fillstyle": "none"}
    axis.plot(list(shown), list(shown.values()), LINES.get(arm, ":"), label=arm, **look)
    lr = data["chosen"][arm]
    fresh = [score(row, by) for row in runs(data["rows"], arm, lr)]
    if all(map(math.isfinite, fresh)):
        axis.errorbar(
            lr, mean(fresh), half_width95(fresh), fmt=marker, color=colour(arm), capsize=4,
            label=f"{arm}, fresh seeds",
        )  # fmt: skip


# --- learning against forgetting ----------------------------------------------------------------


def mean_curve(rows: Sequence[Mapping[str, Any]], text: str) -> list[float]:
    """The mean of the seeds' curves on a text, point by point."""
    return [mean(values) for values in at_each(row[text] for row in rows)]


def trade(results: Mapping[str, Data], goals: Mapping[str, float], most: int = 3) -> Figure:
    """The base's loss against the target's along training: down is learnt, left is kept.

    A line for each arm and rate, the mean over the seeds; the dotted line is the goal. Of each arm
    `most` rates are drawn: the chosen one and those below it.
    """
    about = "Loss on the target against loss on the base's text, along training"
    figure, axes = new_figure(1, len(results), about)
    for axis, (title, data) in zip(axes, results.items(), strict=True):
        for arm, lr, marker in _lines(data, most):
            rows = runs(data["rows"], arm, lr)
            axis.plot(
                mean_curve(rows, "base"),
                mean_curve(rows, "target"),
                LINES.get(arm, ":"),
                marker=marker,
                markersize=4,
                color=colour(arm),
                label=f"{arm}, {lr:.3g}",
            )
        axis.axhline(goals[title], color=PALETTE[-1], linestyle=":", label="the goal")
        axis.set_xlabel("loss on the base's text (nats per token)")
        axis.set_ylabel("loss on the target (nats per token)")
        axis.set_title(title)
        axis.legend(fontsize="small")
    return figure


def _lines(data: Data, most: int) -> list[tuple[str, float, str]]:
    """(arm, rate, marker) of what is drawn: rivals are left out."""
    lines = []
    for arm in (a for a in arms(data["rows"]) if a in COLOURS and a in data["chosen"]):
        below = [lr for lr in rates(data["rows"], arm) if lr <= 1.01 * data["chosen"][arm]]
        lines += [(arm, lr, MARKERS[i]) for i, lr in enumerate(sorted(below, reverse=True)[:most])]
    return lines


# --- over-fitting, batch sizes -----------------------------------------------------------------


def overfit(data: Data) -> Figure:
    """The loss on unseen text against the loss on the training text, each arm at its own rate."""
    about = "Loss on unseen text against loss on the training text, along training"
    figure, (axis,) = new_figure(about=about)
    for i, arm in enumerate(data["chosen"]):
        rows = runs(data["rows"], arm, data["chosen"][arm])
        axis.plot(
            mean_curve(rows, "train"),
            mean_curve(rows, "target"),
            LINES.get(arm, ":"),
            marker=MARKERS[i],
            markersize=4,
            color=colour(arm),
            label=f"{arm}, {data['chosen'][arm]:.3g}",
        )
    axis.invert_xaxis()
    axis.set_xlabel("loss on the training text (nats per token); training goes to the right")
    axis.set_ylabel("loss on unseen text")
    axis.legend()
    return figure


def batches(data: Mapping[str, Data]) -> Figure:
    """Against the batch size: each arm's best rate, and its target loss at the end."""
    about = "By batch size: each arm's best rate, and its target loss at the end"
    figure, axes = new_figure(1, 2, about)
    sizes = sorted(data, key=int)
    for i, arm in enumerate((LORA, FULL)):
        best = [data[size]["chosen"][arm] for size in sizes]
        look = {"marker": MARKERS[i], "color": colour(arm), "linestyle": LINES[arm], "label": arm}
        axes[0].plot(range(len(sizes)), best, **look)
        ends = [
            [row["target"][-1] for row in runs(data[size]["rows"], arm, lr)]
            for size, lr in zip(sizes, best, strict=True)
        ]
        axes[1].errorbar(
            range(len(sizes)), [mean(e) for e in ends], [half_width95(e) for e in ends],
            capsize=4, **look,
        )  # fmt: skip
    for axis, label in zip(axes, ("best rate", "target loss at the end"), strict=True):
        axis.set_xticks(range(len(sizes)), sizes)
        axis.set_xlabel("batch size, equal tokens")
        axis.set_ylabel(label)
        axis.legend()
    axes[0].set_yscale("log", base=2)
    chosen = sorted({data[s]["chosen"][a] for s in sizes for a in (LORA, FULL)})
    axes[0].set_yticks(chosen, [f"{lr:g}" for lr in chosen])
    return figure
