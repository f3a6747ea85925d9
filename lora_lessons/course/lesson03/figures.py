"""The figures of lesson 03: the first step against rank, and loss and broken runs against alpha."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from ...experiments.alpha_algebra import PREDICTED, RULES, fitted_exponents
from ...experiments.lesson03 import STABLE
from ..plots import PALETTE, new_figure
from ..series import MARKERS, band, distinct, doubling_axis, legend_below, one_height
from ..statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = list[dict[str, Any]]
MEASURES = ("gradient of B", "fall, SGD", "fall, AdamW")


def alpha_for(new_r: int, old_r: int, old_alpha: float, stabilized: bool) -> float:
    """The alpha that keeps the scaling when r changes: a stand-in for 3.2."""
    return old_alpha * (new_r / old_r) ** (0.5 if stabilized else 1.0)


# --- the first step against rank ---------------------------------------------------------------


def exponent_table(rows: Rows) -> list[tuple[str, str, float, float, float]]:
    """(what, rule, exponent of theory, mean of the seeds' fits, half of its 95 % interval)."""
    fits = fitted_exponents(rows)
    return [
        (what, rule, theory, mean(fits[what, rule]), half_width95(fits[what, rule]))
        for (what, rule), theory in PREDICTED.items()
    ]


def first_step(rows: Rows, title: str) -> Figure:
    """B's gradient and the first step's fall in loss against r, relative to r = 1, log-log.

    A panel for each measure, a line for each rule with its interval over the seeds; dashed is the
    power of r that theory gives.
    """
    figure, axes = new_figure(1, 3, about="The first step against rank, for three rules of scaling")
    for axis, what in zip(axes, MEASURES, strict=True):
        for i, rule in enumerate(RULES):
            _law(axis, [row for row in rows if row["rule"] == rule], what, rule, i)
        axis.set_yscale("log", base=2)
        axis.set_title(f"{title}: {what}")
        axis.set_ylabel("relative to the smallest r")
    axes[0].legend(fontsize="small")
    return figure


def _law(axis: Axes, rows: Rows, what: str, rule: str, i: int) -> None:
    ranks = distinct(rows, "r")
    first = {row["seed"]: row[what] for row in rows if row["r"] == ranks[0]}
    runs = [[row[what] / first[row["seed"]] for row in rows if row["r"] == r] for r in ranks]
    band(axis, ranks, runs, i, rule)
    theory = [(r / ranks[0]) ** PREDICTED[what, rule] for r in ranks]
    label = "theory" if i == 0 else None
    axis.plot(ranks, theory, "--", color=PALETTE[-1], linewidth=1, zorder=1, label=label)
    doubling_axis(axis, ranks)


# --- loss against alpha -------------------------------------------------------------------------


def alpha_sweep(rows: Rows, title: str, top: float | None = None) -> Figure:
    """Best validation loss, where seeds broke, and size of the update against alpha.

    A line for each learning rate. Losses above `top` leave the picture.
    """
    figure, axes = new_figure(1, 3, about=f"Loss, broken runs and update against alpha. {title}")
    alphas = distinct(rows, "alpha")
    for i, lr in enumerate(distinct(rows, "lr")):
        at = [[row for row in rows if row["alpha"] == a and row["lr"] == lr] for a in alphas]
        label = f"learning rate {lr:g}"
        band(axes[0], alphas, [[row["best"] for row in some] for some in at], i, label)
        updates = [mean(row["update"] for row in some) for some in at]
        axes[2].plot(alphas, updates, marker=MARKERS[i], color=PALETTE[i])
    axes[0].set_ylim(top=top)
    axes[0].set_ylabel("best validation loss (nats per token)")
    _broken(axes[1], rows, alphas)
    axes[2].set_yscale("log")
    axes[2].set_ylabel("length of the update / length of W")
    legend_below(figure, columns=3, of=axes[:1])
    for axis, what in zip(axes, ("best loss", "broken runs", "update"), strict=True):
        axis.set_title(f"{title}: {what}")
        doubling_axis(axis, alphas, "lora_alpha, r = 8")
    return figure


def _broken(axis: Axes, rows: Rows, alphas: Sequence[float]) -> None:
    """A row of signs for each learning rate: no seed broke, some did, all did."""
    rates = sorted(distinct(rows, "lr"))
    share = {(a, lr): broken_share(_cell(rows, a, lr)) for a in alphas for lr in rates}
    for label, marker, color, wanted in (
        ("no seed broke", "o", PALETTE[0], lambda s: s == 0),
        ("some seeds broke", "D", PALETTE[2], lambda s: 0 < s < 1),
        ("all seeds broke", "X", PALETTE[1], lambda s: s == 1),
    ):
        at = [(a, rates.index(lr)) for (a, lr), s in share.items() if wanted(s)]
        if at:
            axis.plot(*zip(*at, strict=True), marker, color=color, markersize=8, label=label)
    axis.set_yticks(range(len(rates)), [f"{lr:g}" for lr in rates])
    axis.set_ylim(-0.5, len(rates) + 0.9)  # room for the legend
    axis.set_ylabel("learning rate")
    axis.legend(loc="upper center", ncols=2, fontsize="small")
    axis.grid(False)


def loss_map(rows: Rows, worst: float) -> Figure:
    """Mean best loss for each alpha and learning rate; a cross where some seed broke.

    Losses above `worst` share the darkest colour.
    """
    alphas, rates = distinct(rows, "alpha"), sorted(distinct(rows, "lr"))
    cells = [[_cell(rows, alpha, lr) for alpha in alphas] for lr in rates]
    losses = [[min(worst, mean_best(cell)) for cell in line] for line in cells]
    figure, (axis,) = new_figure(
        about="Best validation loss over alpha and learning rate; x: broke"
    )
    image = axis.imshow(losses, cmap="cividis_r", vmax=worst, origin="lower", aspect="auto")
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            if broken_share(cell) > 0:
                axis.text(x, y, "x", ha="center", va="center", color="white", fontweight="bold")
    axis.grid(False)
    axis.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
    axis.set_yticks(range(len(rates)), [f"{lr:g}" for lr in rates])
    axis.set_xlabel("lora_alpha, r = 8 (steps drawn alike, whatever their size)")
    axis.set_ylabel("learning rate")
    figure.colorbar(image, ax=axis, label="best validation loss (nats per token)")
    return figure


def best_by_alpha(rows: Rows) -> list[tuple[float, float, float, float]]:
    """(alpha, its best learning rate, mean best loss, half of its 95 % interval)."""
    table = []
    for alpha in distinct(rows, "alpha"):
        cells = {lr: _cell(rows, alpha, lr) for lr in distinct(rows, "lr")}
        lr = min(cells, key=lambda rate: mean_best(cells[rate]))
        half = half_width95([row["best"] for row in cells[lr]])
        table.append((alpha, lr, mean_best(cells[lr]), half))
    return table


def winner(rows: Rows, lr: float | None = None) -> float:
    """The alpha with the lowest mean best loss, at `lr` or else each at its best rate."""
    kept = [row for row in rows if lr is None or row["lr"] == lr]
    return min(best_by_alpha(kept), key=lambda line: line[2])[0]


def mean_best(rows: Rows) -> float:
    """The mean of the best losses; infinite where a run never had a finite one."""
    losses = [row["best"] for row in rows]
    return mean(losses) if all(map(math.isfinite, losses)) else math.inf


def broken_share(rows: Rows) -> float:
    """The share of runs that spiked or diverged."""
    return mean(row["outcome"] != STABLE for row in rows)


def _cell(rows: Rows, alpha: float, lr: float) -> Rows:
    return [row for row in rows if row["alpha"] == alpha and row["lr"] == lr]


# --- alpha / r against alpha / sqrt(r) ----------------------------------------------------------


def rank_scaling(rows: Rows) -> Figure:
    """Best loss against the learning rate at each rank, a line for each rule; all on one scale."""
    ranks = distinct(rows, "r")
    about = "Best validation loss after 1,000 steps against the learning rate, for two scalings"
    figure, axes = new_figure(1, len(ranks), about=about)
    for axis, r in zip(axes, ranks, strict=True):
        for i, (rs, label) in enumerate(((False, "alpha / r"), (True, "alpha / sqrt(r)"))):
            mine = [row for row in rows if row["r"] == r and row["use_rslora"] is rs]
            rates = distinct(mine, "lr")
            runs = [[row["best"] for row in mine if row["lr"] == lr] for lr in rates]
            band(axis, rates, runs, i, label)
        axis.set_xscale("log")
        axis.set_xticks(rates, [f"{lr:g}" for lr in rates])
        axis.set_xlabel("learning rate")
        axis.set_ylabel("best validation loss (nats per token)")
        axis.set_title(f"r = {r}, alpha = 16")
        axis.legend()
    one_height(axes)
    return figure
